package wire

import "encoding/binary"

// AppendBelow is [Query.AppendReply] for a reply that is about a name which that of q
// ends in: packed has its question, which ends at questionEnd, and the appended
// message that of q. Names in it that lead to the question lead to the same labels
// there. Its TTLs are counted down by the seconds that it has been kept. ok is false
// where packed is no reply as [Reply.Parse] takes them, its name does not end that of
// q, or the result is beyond what a compression pointer reaches.
func (q *Query) AppendBelow(dst, packed []byte, questionEnd int, kept uint32) (msg []byte, ok bool) {
	name := questionEnd - HeaderLen - 4
	by := int(q.NameLen) - name
	if name < 1 || by < 0 || questionEnd > len(packed) || len(packed)+by > maxPointed {
		return nil, false
	}
	flags := RCodeMask
	if q.AD || q.DO {
		flags |= AD
	}
	msg = q.appendQuestion(q.appendHeader(dst, q.responseFlags()|Flags(packed)&flags), q.SpelledName())
	copy(msg[atAnswers:HeaderLen], packed[atAnswers:HeaderLen])
	off := len(msg)
	msg = append(msg, packed[questionEnd:]...)
	for off < len(msg) {
		if off = movePointer(msg, off, by); off < 0 || off+10 > len(msg) {
			return nil, false
		}
		rdata := off + 10
		end := rdata + int(binary.BigEndian.Uint16(msg[off+8:]))
		if end > len(msg) {
			return nil, false
		}
		ttl := ttlAt(msg, off+4)
		binary.BigEndian.PutUint32(msg[off+4:], ttl-min(ttl, kept))
		l, known := layoutOf(binary.BigEndian.Uint16(msg[off:]), msg[rdata:end])
		if !known {
			return nil, false
		}
		at := rdata + l.skip
		for range l.names {
			if at = movePointer(msg[:end], at, by); at < 0 {
				return nil, false
			}
		}
		off = end
	}
	return msg, true
}

// movePointer has the compression pointer of the name at off, if it has one, lead
// further by some octets. It returns the offset of what follows the name, -1 where
// there is no name.
func movePointer(msg []byte, off, by int) (next int) {
	for off < len(msg) {
		c := int(msg[off])
		switch {
		case c == 0:
			return off + 1
		case c < 0x40:
			off += 1 + c
		case c < 0xC0 || off+2 > len(msg):
			return -1
		default:
			to := pointerAt(msg, off) + by
			msg[off], msg[off+1] = 0xC0|byte(to>>8), byte(to)
			return off + 2
		}
	}
	return -1
}

// SOAOfRoot tells whether the SOA record in a reply without answers is that of the
// root zone, so that the reply says that there is no such top-level domain. packed is
// as in [Query.AppendBelow]; where it is not, the answer is yes.
func SOAOfRoot(packed []byte, questionEnd int) bool {
	_, authorities, _ := Counts(packed)
	for off := questionEnd; authorities > 0; authorities-- {
		owner := off
		if off = skipName(packed, off); off < 0 || off+10 > len(packed) {
			return true
		}
		if binary.BigEndian.Uint16(packed[off:]) == TypeSOA {
			return isRoot(packed, owner)
		}
		off += 10 + int(binary.BigEndian.Uint16(packed[off+8:]))
	}
	return true
}

// isRoot tells whether the name at off, which [Reply.Parse] took, has no label.
func isRoot(msg []byte, off int) bool {
	for msg[off] >= 0xC0 {
		to := pointerAt(msg, off)
		if to >= off {
			return true
		}
		off = to
	}
	return msg[off] == 0
}

// skipName is the offset behind the name at off, compressed or not; -1 where it does not
// end within msg.
func skipName(msg []byte, off int) (next int) {
	for off >= 0 && off < len(msg) {
		switch c := int(msg[off]); {
		case c == 0:
			return off + 1
		case c >= 0xC0 && off+2 <= len(msg):
			return off + 2
		case c >= 0x40:
			return -1
		default:
			off += 1 + c
		}
	}
	return -1
}
