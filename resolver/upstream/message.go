package upstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	headerLen = 12
	maxName   = 255 // octets of a name in wire form, RFC 1035 section 2.3.4
	maxMsg    = 65535

	typeOPT = 41

	rcodeFormErr  = 1
	rcodeServFail = 2
	rcodeNotImp   = 4
	rcodeRefused  = 5

	minUDPSize = 512 // RFC 1035 section 4.2.1
)

// query is a packed query and the offsets into it that matter here.
type query struct {
	msg []byte
	end int // just behind the question
	opt int // the OPT record if it is the last record, else 0

	// See proofs.
	cased  bool // the name is in random case
	cookie int  // octets of the cookie, which ends the message; 0: none
}

// parseQuery refuses what could never be matched with a reply. The query
// refers to msg.
func parseQuery(msg []byte) (query, error) {
	switch {
	case len(msg) < headerLen:
		return query{}, fmt.Errorf("query of %d octets, expected at least %d", len(msg), headerLen)
	case len(msg) > maxMsg:
		return query{}, fmt.Errorf("query of %d octets, expected at most %d", len(msg), maxMsg)
	case isResponse(msg):
		return query{}, errors.New("message with QR set, expected a query")
	case questions(msg) != 1:
		return query{}, fmt.Errorf("query with %d questions, expected one", questions(msg))
	}
	root, ok := skipLabels(msg, headerLen)
	if !ok || msg[root] != 0 || root+1-headerLen > maxName || root+5 > len(msg) {
		return query{}, errors.New("query whose question cannot be read")
	}
	q := query{msg: msg, end: root + 5}
	records, ok := walk(msg)
	if !ok {
		return query{}, errors.New("query with a record that does not fit into it")
	}
	if records.end == len(msg) && records.lastIsOPT {
		q.opt = records.last
	}
	return q, nil
}

// clone copies the message, so that its ID and OPT can be changed.
func (q query) clone() query {
	q.msg = slices.Clone(q.msg)
	return q
}

func (q query) setID(id uint16)  { binary.BigEndian.PutUint16(q.msg, id) }
func (q query) question() []byte { return q.msg[headerLen:q.end] }
func (q query) name() []byte     { return q.msg[headerLen : q.end-4] }
func (q query) qtype() uint16    { return binary.BigEndian.Uint16(q.msg[q.end-4:]) }

// withoutOPT cuts the OPT record off; q must not be used any more.
func (q query) withoutOPT() query {
	q.msg = q.msg[:q.opt]
	binary.BigEndian.PutUint16(q.msg[10:], binary.BigEndian.Uint16(q.msg[10:])-1)
	q.opt = 0
	return q
}

// udpSize is the largest reply over UDP that the query allows.
func (q query) udpSize() int {
	if q.opt == 0 {
		return minUDPSize
	}
	return max(minUDPSize, int(binary.BigEndian.Uint16(q.msg[q.opt+3:])))
}

// verdict says what a message from the server is to a query.
type verdict uint8

const (
	accepted verdict = iota
	mismatched
	malformed
	miscased  // the reply but for the case of letters
	unproven  // the reply but for a cookie, which the server has else given
	badCookie // the reply says that the cookie is a wrong one
)

// judge compares a message with the query. Form comes first: a guess of an
// attacker that could be accepted is well-formed, so what is not well-formed
// is no sign of guessing.
func (q query) judge(msg []byte) verdict {
	if len(msg) < headerLen {
		return malformed
	}
	if _, ok := walk(msg); !ok {
		return malformed
	}
	if !bytes.Equal(msg[:2], q.msg[:2]) || !isResponse(msg) || opcode(msg) != opcode(q.msg) {
		return mismatched
	}
	if isBareError(msg) {
		return accepted
	}
	if questions(msg) != 1 || !bytes.HasPrefix(msg[headerLen:], q.question()) {
		if q.cased && q.equalBut(msg) {
			return miscased
		}
		return mismatched
	}
	return accepted
}

// judgeAt is judge, and then prove.
func (q query) judgeAt(s *server, msg []byte, now time.Time) verdict {
	v := q.judge(msg)
	if v == accepted {
		v = q.prove(s, msg, now)
	}
	return v
}

// isRefusedBy is true for an error without a question, which says nothing of the
// query but that it was read: under its ID, no attacker's work is likely.
func (q query) isRefusedBy(msg []byte) bool {
	return bytes.Equal(msg[:2], q.msg[:2]) && isResponse(msg) && opcode(msg) == opcode(q.msg) &&
		questions(msg) == 0 && rcodeOf(msg) != 0
}

// complete copies an accepted message for the caller, and gives a bare error
// its question.
func (q query) complete(msg []byte) []byte {
	whole := slices.Clone(msg)
	if isBareError(msg) {
		whole = append(whole, q.question()...)
		binary.BigEndian.PutUint16(whole[4:], 1)
	}
	q.restore(whole)
	return whole
}

// isBareError is true for the header alone that servers without EDNS, and some
// others, send where they cannot or will not read the query.
func isBareError(msg []byte) bool {
	rcode := rcodeOf(msg)
	return len(msg) == headerLen && questions(msg) == 0 && (rcode == rcodeFormErr || rcode == rcodeNotImp)
}

// declines is true for a reply that says more about the server than about the
// name, so that another server may know better.
func declines(msg []byte) bool {
	switch rcodeOf(msg) {
	case rcodeFormErr, rcodeServFail, rcodeNotImp, rcodeRefused:
		return true
	}
	return false
}

func hasOPT(msg []byte) bool {
	records, ok := walk(msg)
	return ok && records.opt
}

func isResponse(msg []byte) bool  { return msg[2]&0x80 != 0 }
func isTruncated(msg []byte) bool { return msg[2]&0x02 != 0 }
func opcode(msg []byte) byte      { return msg[2] >> 3 & 0x0f }
func rcodeOf(msg []byte) byte     { return msg[3] & 0x0f }
func questions(msg []byte) int    { return int(binary.BigEndian.Uint16(msg[4:])) }

// records is what walk finds out about the sections behind the question.
type records struct {
	end       int  // just behind the last record
	last      int  // where the last record begins
	lastIsOPT bool // the last record is an OPT in the additional section
	opt       bool // there is an OPT in the additional section
	optAt     int  // where; 0: there is none
}

// walk tells whether question and records lie within the message. Of a
// truncated message only the question must: where the rest was cut is up to the
// server, and the rest is not used.
func walk(msg []byte) (records, bool) {
	var r records
	if len(msg) < headerLen {
		return r, false
	}
	at := headerLen
	var ok bool
	for range questions(msg) {
		if at, ok = skipName(msg, at); !ok || at+4 > len(msg) {
			return r, false
		}
		at += 4
	}
	r.end = at
	if isTruncated(msg) {
		return r, true
	}
	additional := int(binary.BigEndian.Uint16(msg[10:]))
	others := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	for i := range others + additional {
		r.last = r.end
		if at, ok = skipName(msg, r.last); !ok || at+10 > len(msg) {
			return r, false
		}
		rootName := at == r.last+1
		r.lastIsOPT = i >= others && rootName && binary.BigEndian.Uint16(msg[at:]) == typeOPT
		if r.lastIsOPT {
			r.opt, r.optAt = true, r.last
		}
		r.end = at + 10 + int(binary.BigEndian.Uint16(msg[at+8:]))
		if r.end > len(msg) {
			return r, false
		}
	}
	return r, true
}

// skipName returns the offset behind the name at the given offset. It does not
// follow a compression pointer.
func skipName(msg []byte, at int) (int, bool) {
	at, ok := skipLabels(msg, at)
	switch {
	case !ok:
		return 0, false
	case msg[at] == 0:
		return at + 1, true
	}
	return at + 2, at+2 <= len(msg)
}

// skipLabels returns the offset of what ends the labels: the root label or a
// compression pointer.
func skipLabels(msg []byte, at int) (int, bool) {
	for at < len(msg) {
		switch n := int(msg[at]); {
		case n == 0, n >= 0xc0:
			return at, true
		case n >= 0x40: // label types that nobody uses, RFC 6891 section 5
			return 0, false
		default:
			at += 1 + n
		}
	}
	return 0, false
}
