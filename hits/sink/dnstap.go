package sink

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	framestream "github.com/farsightsec/golang-framestream"
	"google.golang.org/protobuf/encoding/protowire"

	"sinkhole/hits"
)

// dnstapContent is the content type that both ends of a stream agree on.
const dnstapContent = "protobuf:dnstap.Dnstap"

// Dnstap is a receiver of dnstap over Frame Streams: each hit is a CLIENT_RESPONSE with its
// Policy.
type Dnstap struct{ Target }

func (r *Dnstap) connect(ctx context.Context) (*connection, error) {
	c, err := r.dial(ctx, true)
	if err != nil {
		return nil, err
	}
	// The handshake reads without a deadline of its own.
	late := time.AfterFunc(connectWithin, c.close)
	defer late.Stop()
	defer context.AfterFunc(ctx, c.close)()
	stream, err := framestream.NewWriter(heard{c}, &framestream.WriterOptions{ContentTypes: [][]byte{[]byte(dnstapContent)}, Bidirectional: true})
	if err != nil {
		c.close()
		return nil, fmt.Errorf("the handshake of Frame Streams, content %s: %w", dnstapContent, err)
	}
	var frame []byte
	c.put = func(line []byte) error {
		rec, err := hits.ParseRecord(line)
		switch {
		case err != nil:
			return errUnusable
		case rec.Event.Dataset != hits.DatasetHit:
			return errNotForReceiver
		}
		frame = appendDnstap(frame[:0], rec)
		_, err = stream.WriteFrame(frame)
		return err
	}
	c.flush = stream.Flush
	c.end = stream.Close
	return c, nil
}

// heard reads what the receiver says and writes to it.
type heard struct{ c *connection }

func (h heard) Read(p []byte) (int, error)  { return h.c.in.Read(p) }
func (h heard) Write(p []byte) (int, error) { return h.c.conn.Write(p) }

// Fields of dnstap.proto (https://github.com/dnstap/dnstap.pb).
const (
	tapIdentity protowire.Number = 1
	tapVersion  protowire.Number = 2
	tapExtra    protowire.Number = 3
	tapMessage  protowire.Number = 14
	tapType     protowire.Number = 15

	messageType            protowire.Number = 1
	messageFamily          protowire.Number = 2
	messageProtocol        protowire.Number = 3
	messageQueryAddress    protowire.Number = 4
	messageResponseAddress protowire.Number = 5
	messageQueryPort       protowire.Number = 6
	messageResponsePort    protowire.Number = 7
	messageQuerySec        protowire.Number = 8
	messageQueryNsec       protowire.Number = 9
	messageResponseSec     protowire.Number = 12
	messageResponseNsec    protowire.Number = 13
	messageResponse        protowire.Number = 14
	messagePolicy          protowire.Number = 15

	policyType   protowire.Number = 1
	policyRule   protowire.Number = 2
	policyAction protowire.Number = 3
	policyMatch  protowire.Number = 4
	policyValue  protowire.Number = 5
)

// Values of its enumerations.
const (
	typeMessage        = 1
	typeClientResponse = 6

	familyINET, familyINET6 = 1, 2

	actionNXDOMAIN, actionNODATA, actionPass, actionDrop, actionTruncate, actionLocalData = 1, 2, 3, 4, 5, 6

	matchQName, matchClientIP, matchResponseIP = 1, 2, 3
)

// appendDnstap appends the Dnstap message of a hit.
func appendDnstap(dst []byte, r *hits.Record) []byte {
	dst = appendBytes(dst, tapIdentity, r.Observer.Name)
	dst = appendBytes(dst, tapVersion, "sinkhole "+r.Observer.Version)
	dst = appendBytes(dst, tapExtra, tapExtraText(r))
	dst = appendBytes(dst, tapMessage, tapMessageOf(r))
	return appendNumber(dst, tapType, typeMessage)
}

// tapExtraText is what the schema has no field for. The families come last, since one may
// hold a space.
func tapExtraText(r *hits.Record) string {
	return "id=" + r.Event.ID + " count=" + strconv.FormatUint(max(1, r.Sinkhole.Count), 10) + " list=" + r.Threat.Feed.Name + " families=" + strings.Join(r.Sinkhole.Families, "; ")
}

func tapMessageOf(r *hits.Record) (m []byte) {
	m = appendNumber(m, messageType, typeClientResponse)
	if client := r.Client.IP; client.IsValid() {
		family := uint64(familyINET)
		if client.Is6() {
			family = familyINET6
		}
		m = appendNumber(m, messageFamily, family)
	}
	if p := tapProtocol(r.Sinkhole.Transport); p != 0 {
		m = appendNumber(m, messageProtocol, p)
	}
	m = appendAddress(m, messageQueryAddress, r.Client.IP)
	m = appendAddress(m, messageResponseAddress, r.Server.IP)
	m = appendNumber(m, messageQueryPort, uint64(r.Client.Port))
	m = appendNumber(m, messageResponsePort, uint64(r.Server.Port))
	m = appendTime(m, messageQuerySec, messageQueryNsec, r.Time)
	m = appendTime(m, messageResponseSec, messageResponseNsec, r.Time)
	if answer := appendAnswer(nil, r); answer != nil {
		m = appendBytes(m, messageResponse, answer)
	}
	return appendBytes(m, messagePolicy, tapPolicy(r))
}

func tapProtocol(transport string) uint64 {
	switch transport {
	case hits.UDP.String():
		return 1
	case hits.TCP.String():
		return 2
	case hits.DoT.String():
		return 3
	case hits.DoH.String(), hits.DoH3.String():
		return 4
	case hits.DoQ.String():
		return 7
	}
	return 0
}

// tapPolicyType says what kind of policy it is, as RPZ would.
const tapPolicyType = "sinkhole"

// tapPolicy is the deciding rule.
func tapPolicy(r *hits.Record) (p []byte) {
	p = appendBytes(p, policyType, tapPolicyType)
	p = appendBytes(p, policyRule, r.Threat.Indicator.Name)
	if a := tapAction(r); a != 0 {
		p = appendNumber(p, policyAction, a)
	}
	switch r.Sinkhole.Trigger {
	case hits.TriggerQName.String(), hits.TriggerCNAME.String(), hits.TriggerSVCB.String():
		p = appendNumber(p, policyMatch, matchQName)
	case hits.TriggerClientIP.String():
		p = appendNumber(p, policyMatch, matchClientIP)
	case hits.TriggerResponseIP.String():
		p = appendNumber(p, policyMatch, matchResponseIP)
	}
	return appendBytes(p, policyValue, tapValue(r))
}

// tapValue is a name in wire form, or an address in network order, as the schema wants.
func tapValue(r *hits.Record) []byte {
	if addr, err := netip.ParseAddr(r.Sinkhole.Value); err == nil {
		return addr.AsSlice()
	}
	name, _ := packName(nil, r.Sinkhole.Value)
	return name
}

func tapAction(r *hits.Record) uint64 {
	if slices.Contains(r.Event.Type, "allowed") {
		return actionPass // the client got the true answer
	}
	switch r.Event.Action {
	case "nxdomain":
		return actionNXDOMAIN
	case "nodata":
		return actionNODATA
	case "drop":
		return actionDrop
	case "tcp-only":
		return actionTruncate
	case "sinkhole", "local-data":
		return actionLocalData
	}
	return 0
}

// headerFlags are bits of a message's third and fourth octet.
func headerFlags(words []string) (bits uint16) {
	for _, w := range words {
		switch w {
		case "AA":
			bits |= 1 << 10
		case "TC":
			bits |= 1 << 9
		case "RD":
			bits |= 1 << 8
		case "RA":
			bits |= 1 << 7
		case "AD":
			bits |= 1 << 5
		case "CD":
			bits |= 1 << 4
		}
	}
	return bits
}

// appendAnswer makes the answer of what the journal keeps of it: header, question and the
// sinkhole address. The authority and additional sections are not kept. nil where there was
// no answer, or where the line is of several questions.
func appendAnswer(dst []byte, r *hits.Record) []byte {
	rcode, answered := hits.RcodeNumber(r.DNS.ResponseCode)
	qtype, known := hits.TypeNumber(r.DNS.Question.Type)
	class, knownClass := hits.ClassNumber(r.DNS.Question.Class)
	if !answered || !known || !knownClass {
		return nil
	}
	id, _ := strconv.ParseUint(r.DNS.ID, 10, 16)
	const reply, typeA, typeAAAA = 1 << 15, 1, 28
	var data []byte
	if addr := r.Sinkhole.Address; qtype == typeA && addr.Is4() || qtype == typeAAAA && addr.Is6() {
		data = addr.AsSlice()
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(id))
	dst = binary.BigEndian.AppendUint16(dst, reply|headerFlags(r.DNS.HeaderFlags)|rcode&0xf)
	dst = append(dst, 0, 1, 0, min(1, byte(len(data))), 0, 0, 0, 0)
	dst, ok := packName(dst, r.DNS.Question.Name)
	if !ok {
		return nil
	}
	dst = binary.BigEndian.AppendUint16(dst, qtype)
	dst = binary.BigEndian.AppendUint16(dst, class)
	if len(data) == 0 {
		return dst
	}
	ttl := uint32(0)
	if r.Sinkhole.TTL != nil {
		ttl = *r.Sinkhole.TTL
	}
	dst = append(dst, 0xc0, 12) // the question's name
	dst = binary.BigEndian.AppendUint16(dst, qtype)
	dst = binary.BigEndian.AppendUint16(dst, class)
	dst = binary.BigEndian.AppendUint32(dst, ttl)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	return append(dst, data...)
}

// packName appends the wire form of a name as the journal has it (RFC 1035 section 5.1,
// without the final dot), in lower case as there.
func packName(dst []byte, name string) (wire []byte, ok bool) {
	if name == "." {
		return append(dst, 0), true
	}
	begin, length := len(dst), len(dst)
	dst = append(dst, 0)
	for i := 0; i < len(name); i++ {
		b := name[i]
		switch {
		case b == '.':
			if !closeLabel(dst, length) {
				return dst[:begin], false
			}
			length = len(dst)
			dst = append(dst, 0)
			continue
		case b == '\\' && i+3 < len(name) && isDigit(name[i+1]) && isDigit(name[i+2]) && isDigit(name[i+3]):
			n := int(name[i+1]-'0')*100 + int(name[i+2]-'0')*10 + int(name[i+3]-'0')
			if n > 255 {
				return dst[:begin], false
			}
			b, i = byte(n), i+3
		case b == '\\':
			if i++; i == len(name) {
				return dst[:begin], false
			}
			b = name[i]
		}
		dst = append(dst, b)
	}
	const longest = 255
	if !closeLabel(dst, length) || len(dst)+1-begin > longest {
		return dst[:begin], false
	}
	return append(dst, 0), true
}

// closeLabel writes the length of the label that begins at an offset and ends the name so far.
func closeLabel(name []byte, at int) bool {
	n := len(name) - at - 1
	if n < 1 || n > 63 {
		return false
	}
	name[at] = byte(n)
	return true
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// appendBytes leaves an empty value out.
func appendBytes[T string | []byte](dst []byte, field protowire.Number, value T) []byte {
	if len(value) == 0 {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), []byte(value))
}

func appendNumber(dst []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), n)
}

func appendAddress(dst []byte, field protowire.Number, addr netip.Addr) []byte {
	if !addr.IsValid() {
		return dst
	}
	return appendBytes(dst, field, addr.AsSlice())
}

func appendTime(dst []byte, sec, nsec protowire.Number, at time.Time) []byte {
	dst = appendNumber(dst, sec, uint64(max(0, at.Unix())))
	dst = protowire.AppendTag(dst, nsec, protowire.Fixed32Type)
	return protowire.AppendFixed32(dst, uint32(at.Nanosecond()))
}
