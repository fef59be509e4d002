package upstream

import "encoding/binary"

// paddedTo is the multiple of octets that queries are padded to (RFC 8467 section
// 4.1), so that their length tells little of the name.
const paddedTo = 128

// padded adds padding to the query's OPT record, and before it, if keepalive is
// set, the wish to keep the connection (RFC 7828). A query without an OPT record
// stays as it is. q must not be used any more.
func (q query) padded(keepalive bool) query {
	if q.opt == 0 {
		return q
	}
	msg := q.msg
	if keepalive {
		msg = append(msg, 0, optionKeepalive, 0, 0)
	}
	fill := (paddedTo - (len(msg)+4)%paddedTo) % paddedTo
	if len(msg)+4+fill > maxMsg {
		return q
	}
	msg = append(msg, 0, optionPadding, 0, byte(fill))
	msg = append(msg, make([]byte, fill)...)
	binary.BigEndian.PutUint16(msg[q.opt+9:], uint16(len(msg)-q.opt-11))
	q.msg = msg
	return q
}
