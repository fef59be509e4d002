package inventory

import (
	"bytes"
	"encoding/json"
	"slices"
)

// maxAddresses bounds the history of a machine that is known by more than its address; the
// one that was not seen for longest goes.
const maxAddresses = 64

// machine is one entry, as it is worked on.
type machine struct {
	id                             int64
	key                            string
	address, mac, cpe, device, via string
	subscriber                     string
	forwarder, proven              bool
	shared                         bool // several subscribers have the address
	first, last                    int64
	connected, sent, manyBehind    int64 // when last; 0: never
	addresses                      []Address
	recent                         recent
	spans                          []*span // those that were looked at
	new, dirty                     bool
}

// Address is one that a machine had.
type Address struct {
	Address   string `json:"address"`
	FirstSeen Time   `json:"first_seen"`
	LastSeen  Time   `json:"last_seen"`
}

// identity is whose a line is: the key of a machine, and the address that it has there.
type identity struct {
	key     []byte
	address []byte // nil: the line has a forwarder's
	byIP    bool   // nothing but the address tells the machine

	subscriber string // who had the address, or a block of its ports
	shared     bool   // several had it, and which of them it was is not known
}

// identify tells whose a line is. The MAC address is the machine's own and decides alone;
// a device or a CPE has a household behind it, whose machines only their addresses tell. Of
// the others a subscriber is one, wherever it asks from.
func (l *line) identify(buf []byte) (id identity) {
	told := l.port == 0
	id.address = l.address
	switch {
	case l.forwarder:
		id.key = concat(buf, "forwarder ", l.address)
	case len(l.mac) > 0:
		id.key = concat(buf, "mac ", l.mac)
	case l.trusted && len(l.device) > 0:
		id.key = concat(buf, "device ", l.device)
	case l.trusted && len(l.cpe) > 0:
		id.key = concat(buf, "cpe ", l.cpe)
	case l.subscriber != "":
		id.key, id.subscriber = append(append(buf[:0], "subscriber "...), l.subscriber...), l.subscriber
		return id
	default:
		id.key, id.byIP, id.shared = concat(buf, "address ", l.address), true, l.shared
		return id
	}
	switch {
	case l.forwarder:
	case !told:
		id.address = nil
	case len(l.mac) == 0:
		id.key = append(append(id.key, " address "...), l.address...)
	}
	return id
}

func concat(buf []byte, kind string, value []byte) []byte {
	return append(append(buf[:0], kind...), value...)
}

// take counts a line, whose match has a row.
func (m *machine) take(l *line, id identity) {
	m.dirty = true
	if m.first == 0 || l.time < m.first {
		m.first = l.time
	}
	m.last = max(m.last, l.last)
	m.proven = m.proven || l.proven
	m.forwarder = l.forwarder
	if m.key == string(id.key) { // else a landing's, of which the hits tell more
		m.shared, m.subscriber = id.shared, id.subscriber
	}
	if len(id.address) > 0 {
		update(&m.address, id.address)
		if !id.byIP && !l.forwarder {
			m.moved(l)
		}
	}
	update(&m.mac, l.mac)
	if l.trusted {
		update(&m.cpe, l.cpe)
		update(&m.device, l.device)
		if len(l.via) > 0 {
			update(&m.via, l.via)
		} else if !bytes.Equal(l.peer, l.address) {
			update(&m.via, l.peer)
		}
	}
	switch string(l.evidence) {
	case Sent:
		m.sent = max(m.sent, l.last)
		m.connected = max(m.connected, l.last)
	case Connected:
		m.connected = max(m.connected, l.last)
	}
	if !l.forwarder && l.count > 0 && m.recent.see(l) {
		m.manyBehind = max(m.manyBehind, l.last)
	}
}

func update(s *string, v []byte) {
	if len(v) > 0 && *s != string(v) {
		*s = string(v)
	}
}

// moved keeps the history of addresses, the latest first.
func (m *machine) moved(l *line) {
	i := slices.IndexFunc(m.addresses, func(a Address) bool { return a.Address == m.address })
	a := Address{Address: m.address, FirstSeen: Time(l.time), LastSeen: Time(l.last)}
	if i >= 0 {
		old := m.addresses[i]
		a.FirstSeen, a.LastSeen = min(a.FirstSeen, old.FirstSeen), max(a.LastSeen, old.LastSeen)
		m.addresses = slices.Delete(m.addresses, i, i+1)
	}
	m.addresses = slices.Insert(m.addresses, 0, a)
	m.addresses = m.addresses[:min(len(m.addresses), maxAddresses)]
}

func encodeAddresses(all []Address) (string, error) {
	if len(all) == 0 {
		return "", nil
	}
	text, err := json.Marshal(all)
	return string(text), err
}

func decodeAddresses(text string) (all []Address, err error) {
	if text != "" {
		err = json.Unmarshal([]byte(text), &all)
	}
	return all, err
}
