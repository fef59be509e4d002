package feed

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	opcodeNotify = 4

	rcodeFormErr = 1
	rcodeNotImp  = 4
	rcodeRefused = 5
	rcodeNotAuth = 9
)

// Notify takes a NOTIFY message (RFC 1996) as it came from the network, over
// UDP or TCP, and gives the answer to send, nil for none. It never waits: a
// message that is believed has the zone's primary asked soon, and what is to be
// had from it is asked, not told by the message. Believed is what comes from an
// address of the zone's primary; a signature must be of the zone's key and hold,
// but there need not be one.
func (z *Zones) Notify(raw []byte, from netip.AddrPort) []byte {
	if len(raw) < headerSize || binary.BigEndian.Uint16(raw[2:])&flagQR != 0 {
		return nil
	}
	m, err := readMessage(raw)
	switch {
	case err != nil:
		return notifyHead(raw, rcodeFormErr)
	case m.opcode() != opcodeNotify:
		return notifyHead(raw, rcodeNotImp)
	}
	apex, ok := m.notified()
	if !ok {
		return notifyHead(raw, rcodeFormErr)
	}
	sender := from.Addr().Unmap().WithZone("")
	keepers, rcode := z.served(apex, sender)
	if rcode != 0 {
		z.notifies.refused.Add(1)
		z.options.Logger.Debug("NOTIFY refused", zap.String("zone", nameText(apex)), zap.Stringer("from", from))
		return m.reply(rcode)
	}
	if m.tsig == nil {
		z.believe(keepers)
		return m.reply(0)
	}
	return z.signed(m, keepers, from)
}

// signed answers a message with a signature.
func (z *Zones) signed(m *message, keepers []*zoneKeeper, from netip.AddrPort) []byte {
	now := time.Now()
	var believed []*zoneKeeper
	var key, late *tsigKey
	var fault error = &tsigError{tsigBadKey, "signed, though the list has no TSIG key"}
	for _, k := range keepers {
		own := k.key.Load()
		if own == nil {
			continue
		}
		switch err := own.verify(m, now); codeOf(err) {
		case 0:
			key, believed = own, append(believed, k)
		case tsigBadTime:
			fault, late = err, own
		case tsigBadSig:
			fault = err
		}
	}
	if key != nil {
		z.believe(believed)
		reply, _ := key.sign(m.reply(0), m.tsig.mac, now)
		return reply
	}
	z.notifies.forged.Add(1)
	z.options.Logger.Debug("NOTIFY not believed", zap.String("zone", keepers[0].zone.text()), zap.Stringer("from", from), zap.Error(fault))
	if late != nil {
		return late.signLate(m.reply(rcodeNotAuth), m.tsig, now)
	}
	return m.replyUnsigned(fault)
}

func codeOf(err error) uint16 {
	if e, ok := errors.AsType[*tsigError](err); ok {
		return e.code
	}
	return 0
}

func (z *Zones) believe(keepers []*zoneKeeper) {
	z.notifies.believed.Add(1)
	for _, k := range keepers {
		k.notify()
	}
}

// served are the zones of that name of which the sender is a primary. There may
// be several: two lists may take one zone with different settings.
func (z *Zones) served(apex []byte, sender netip.Addr) (keepers []*zoneKeeper, rcode uint16) {
	z.mu.Lock()
	defer z.mu.Unlock()
	rcode = rcodeRefused
	for _, k := range z.keepers {
		if !slices.Contains(k.primaries(), sender) {
			continue
		}
		if string(k.zone.apex) == string(apex) {
			keepers = append(keepers, k)
		} else {
			rcode = rcodeNotAuth
		}
	}
	if len(keepers) > 0 {
		return keepers, 0
	}
	return nil, rcode
}

// notified is the zone that a NOTIFY is about.
func (m *message) notified() (apex []byte, ok bool) {
	n := len(m.question) - 4
	if n <= 0 || binary.BigEndian.Uint16(m.question[n:]) != typeSOA || binary.BigEndian.Uint16(m.question[n+2:]) != classIN {
		return nil, false
	}
	return m.question[:n], true
}

// notifyHead is a reply without a question, to what was not understood.
func notifyHead(raw []byte, rcode uint16) []byte {
	reply := make([]byte, headerSize)
	copy(reply, raw[:2])
	binary.BigEndian.PutUint16(reply[2:], flagQR|binary.BigEndian.Uint16(raw[2:])&opcodeMask|rcode)
	return reply
}

// reply answers a NOTIFY, RFC 1996 section 4.7. The question is echoed as it was
// spelled.
func (m *message) reply(rcode uint16) []byte {
	reply := append(notifyHead(m.raw, rcode), m.raw[headerSize:m.at]...)
	binary.BigEndian.PutUint16(reply[4:], 1)
	if rcode == 0 {
		reply[2] |= flagAA >> 8
	}
	return reply
}

// replyUnsigned answers a signature that does not hold, RFC 8945 section 5.3.2.
func (m *message) replyUnsigned(fault error) []byte {
	r := tsigRecord{name: m.tsig.name, algorithm: m.tsig.algorithm, time: m.tsig.time, fudge: m.tsig.fudge, id: m.id, err: codeOf(fault)}
	return r.append(m.reply(rcodeNotAuth))
}
