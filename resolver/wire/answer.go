package wire

import (
	"encoding/binary"
	"net/netip"
)

// The owner of every appended record is a pointer to the question's name, which
// always stands right after the header.
const ownerPointer = 0xC000 | HeaderLen

// AppendResponse begins the answer to q: a header with the ID, opcode, RD and CD
// of the query, QR and RA set, the given further flags and the lower four bits
// of rcode, and the question with the client's spelling. dst must have length
// 0: names in what is appended later point to offsets from its start. Records
// are counted by [SetCounts] when all are there.
func (q *Query) AppendResponse(dst []byte, rcode, flags uint16) []byte {
	dst = q.appendHeader(dst, q.responseFlags()|flags|rcode&RCodeMask)
	return q.appendQuestion(dst, q.SpelledName())
}

// AppendReply appends an upstream's reply as the answer to q: packed is the
// whole message, without OPT, with the question of q in whatever spelling. The
// header gets the ID, opcode, RD and CD of the query and RA; AA is cleared, and
// AD is kept only for a client that asked for it by AD or DO (RFC 6840 section
// 5.8). The question gets the client's spelling. dst must have length 0, as in
// [Query.AppendResponse].
func (q *Query) AppendReply(dst, packed []byte) []byte {
	kept := TC | RCodeMask
	if q.AD || q.DO {
		kept |= AD
	}
	dst = append(dst, packed...)
	SetID(dst, q.ID)
	SetFlags(dst, q.responseFlags()|Flags(packed)&kept)
	copy(dst[HeaderLen:], q.SpelledName())
	return dst
}

// AppendQuery appends q as a query to an upstream: ID 0, RD set, AD and CD as
// the client has them, the name in lower case. With udpSize not 0 it has an
// OPT record with that size and the client's DO, and none of the client's
// options. dst must have length 0.
func AppendQuery(dst []byte, q *Query, udpSize uint16) []byte {
	flags := RD
	if q.AD {
		flags |= AD
	}
	if q.CD {
		flags |= CD
	}
	dst = q.appendHeader(dst, flags)
	SetID(dst, 0)
	dst = q.appendQuestion(dst, q.QName())
	if udpSize == 0 {
		return dst
	}
	SetCounts(dst, 0, 0, 1)
	return AppendOPT(dst, udpSize, q.DO, 0, nil)
}

func (q *Query) responseFlags() uint16 {
	flags := QR | RA | uint16(q.Opcode)<<OpcodeShift&OpcodeMask
	if q.RD {
		flags |= RD
	}
	if q.CD {
		flags |= CD
	}
	return flags
}

func (q *Query) appendHeader(dst []byte, flags uint16) []byte {
	return append(dst, byte(q.ID>>8), byte(q.ID), byte(flags>>8), byte(flags), 0, 1, 0, 0, 0, 0, 0, 0)
}

func (q *Query) appendQuestion(dst, name []byte) []byte {
	dst = append(dst, name...)
	return append(dst, byte(q.Type>>8), byte(q.Type), byte(q.Class>>8), byte(q.Class))
}

// AppendRR appends a record of the question's name.
func AppendRR(dst []byte, typ, class uint16, ttl uint32, rdata []byte) []byte {
	return append(appendRRHeader(dst, typ, class, ttl, len(rdata)), rdata...)
}

func appendRRHeader(dst []byte, typ, class uint16, ttl uint32, rdlength int) []byte {
	return append(dst, ownerPointer>>8, ownerPointer&0xFF,
		byte(typ>>8), byte(typ), byte(class>>8), byte(class),
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl),
		byte(rdlength>>8), byte(rdlength))
}

// AppendA appends an A record of the question's name; addr is IPv4 or
// IPv4-mapped.
func AppendA(dst []byte, ttl uint32, addr netip.Addr) []byte {
	a := addr.Unmap().As4()
	return append(appendRRHeader(dst, TypeA, ClassIN, ttl, len(a)), a[:]...)
}

// AppendAAAA appends an AAAA record of the question's name.
func AppendAAAA(dst []byte, ttl uint32, addr netip.Addr) []byte {
	a := addr.As16()
	return append(appendRRHeader(dst, TypeAAAA, ClassIN, ttl, len(a)), a[:]...)
}

// AppendSOA appends the SOA record that makes a negative policy answer cacheable
// for ttl seconds (RFC 2308 section 3). The zone that it describes does not
// exist, so it names no server and no mailbox. It belongs into the authority
// section.
func AppendSOA(dst []byte, ttl uint32) []byte { return AppendSOAAbove(dst, 0, ttl) }

// AppendSOAAbove is AppendSOA for a zone whose name begins at that octet of the
// question's name.
func AppendSOAAbove(dst []byte, at int, ttl uint32) []byte {
	const serial, refresh, retry, expire = 1, 3600, 600, 86400
	owner := len(dst)
	dst = appendRRHeader(dst, TypeSOA, ClassIN, ttl, 2+5*4)
	binary.BigEndian.PutUint16(dst[owner:], uint16(ownerPointer+at))
	dst = append(dst, 0, 0) // MNAME and RNAME: the root
	for _, v := range [...]uint32{serial, refresh, retry, expire, ttl} {
		dst = binary.BigEndian.AppendUint32(dst, v)
	}
	return dst
}

// AppendHINFO8482 appends the answer to a query of type ANY that RFC 8482
// section 4.2 describes.
func AppendHINFO8482(dst []byte, ttl uint32) []byte {
	const rdata = "\x07RFC8482\x00"
	return append(appendRRHeader(dst, TypeHINFO, ClassIN, ttl, len(rdata)), rdata...)
}

// Truncate cuts an answer that is too long for its transport down to header and
// question, and sets TC. questionEnd is the offset of the end of the question
// section. An OPT record is to be appended anew, and counted.
func Truncate(msg []byte, questionEnd int) []byte {
	msg = msg[:questionEnd]
	SetFlags(msg, Flags(msg)|TC)
	SetCounts(msg, 0, 0, 0)
	return msg
}

// QuestionEqual says whether a reply has one question, to the letter that of
// the packed query: a name in another spelling is another name here, so that
// a query with random spelling (draft-vixie-dnsext-dns0x20) proves its reply.
func QuestionEqual(msg, query []byte) bool {
	if len(query) < HeaderLen {
		return false
	}
	n := NameLen(query[HeaderLen:])
	end := HeaderLen + n + 4
	if n == 0 || end > len(query) || end > len(msg) {
		return false
	}
	return binary.BigEndian.Uint16(msg[atQuestions:]) == 1 && string(msg[HeaderLen:end]) == string(query[HeaderLen:end])
}
