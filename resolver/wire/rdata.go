package wire

import (
	"encoding/binary"
	"errors"
)

// Record types and classes that the package acts on.
const (
	TypeA     uint16 = 1
	TypeNS    uint16 = 2
	TypeCNAME uint16 = 5
	TypeSOA   uint16 = 6
	TypePTR   uint16 = 12
	TypeHINFO uint16 = 13
	TypeMX    uint16 = 15
	TypeTXT   uint16 = 16
	TypeAAAA  uint16 = 28
	TypeSRV   uint16 = 33
	TypeNAPTR uint16 = 35
	TypeDNAME uint16 = 39
	TypeOPT   uint16 = 41
	TypeDS    uint16 = 43
	TypeRRSIG uint16 = 46
	TypeNSEC  uint16 = 47
	TypeNSEC3 uint16 = 50
	TypeSVCB  uint16 = 64
	TypeHTTPS uint16 = 65
	TypeANY   uint16 = 255

	ClassIN  uint16 = 1
	ClassANY uint16 = 255
)

const (
	svcParamIPv4Hint = 4
	svcParamIPv6Hint = 6
)

var (
	errRData      = errors.New("the data of a record does not fit its type")
	errSVCB       = errors.New("the parameters of a SVCB or HTTPS record are malformed")
	errSVCBTarget = errors.New("the target of a SVCB or HTTPS record is compressed")
)

// layout says where names stand in the data of a record: names of them, one
// after the other, from octet skip, then tail octets, any number if tail is
// below 0.
type layout struct {
	skip, names, tail int
}

// layoutOf is the layout of every type that a compressed name can stand in (RFC
// 3597 section 4) and of those whose names compressors point to though they
// may not compress them. The data of other types holds no names for us. ok is
// false where the data is too short to tell.
func layoutOf(typ uint16, rdata []byte) (l layout, ok bool) {
	switch typ {
	case TypeNS, TypeCNAME, TypePTR, TypeDNAME, 3, 4, 7, 8, 9, 23: // MD MF MB MG MR NSAP-PTR
		return layout{0, 1, 0}, true
	case TypeSOA:
		return layout{0, 2, 20}, true
	case 14, 17, 58: // MINFO RP TALINK
		return layout{0, 2, 0}, true
	case TypeMX, 18, 21, 36, 107: // AFSDB RT KX LP
		return layout{2, 1, 0}, true
	case 26: // PX
		return layout{2, 2, 0}, true
	case TypeSRV:
		return layout{6, 1, 0}, true
	case TypeNAPTR:
		skip, ok := naptrReplacement(rdata)
		return layout{skip, 1, 0}, ok
	case TypeRRSIG, 24: // SIG
		return layout{18, 1, -1}, true
	case TypeNSEC, 30: // NXT
		return layout{0, 1, -1}, true
	case TypeSVCB, TypeHTTPS:
		return layout{2, 1, -1}, true
	case 66: // DSYNC
		return layout{5, 1, 0}, true
	}
	return layout{0, 0, -1}, true
}

// naptrReplacement is the offset of the name in a NAPTR record: after order,
// preference and three character strings (RFC 3403 section 4.1).
func naptrReplacement(rdata []byte) (off int, ok bool) {
	off = 4
	for range 3 {
		if off >= len(rdata) {
			return 0, false
		}
		off += 1 + int(rdata[off])
	}
	return off, true
}

// checkRData holds the data of a record to its type: every name in it valid,
// the length right.
func (s *labelStarts) checkRData(msg []byte, rec *record) error {
	rdata := msg[rec.rdata:rec.end]
	if rec.class == ClassIN {
		switch rec.typ {
		case TypeA:
			return lengthIs(rdata, 4)
		case TypeAAAA:
			return lengthIs(rdata, 16)
		}
	}
	l, ok := layoutOf(rec.typ, rdata)
	if !ok {
		return errRData
	}
	if l.names == 0 {
		return nil
	}
	var name [MaxName]byte
	off := int(rec.rdata) + l.skip
	for range l.names {
		_, _, next, err := s.unpack(&name, msg, off)
		if err != nil {
			return err
		}
		off = next
	}
	if off > int(rec.end) || l.tail >= 0 && off+l.tail != int(rec.end) {
		return errRData
	}
	if rec.svcb() {
		return checkSVCB(rdata)
	}
	return nil
}

func lengthIs(rdata []byte, n int) error {
	if len(rdata) != n {
		return errRData
	}
	return nil
}

// checkSVCB holds the data of a SVCB record to RFC 9460 section 2.2 as far as we
// read it.
func checkSVCB(rdata []byte) error {
	n := NameLen(rdata[2:])
	if n == 0 {
		return errSVCBTarget
	}
	params, last := rdata[2+n:], -1
	for len(params) > 0 {
		key, value, rest, ok := nextSVCParam(params)
		if !ok || int(key) <= last {
			return errSVCB
		}
		if key == svcParamIPv4Hint && (len(value) == 0 || len(value)%4 != 0) ||
			key == svcParamIPv6Hint && (len(value) == 0 || len(value)%16 != 0) {
			return errSVCB
		}
		params, last = rest, int(key)
	}
	return nil
}

func nextSVCParam(params []byte) (key uint16, value, rest []byte, ok bool) {
	if len(params) < 4 {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(params[2:]))
	if 4+n > len(params) {
		return 0, nil, nil, false
	}
	return binary.BigEndian.Uint16(params), params[4 : 4+n], params[4+n:], true
}
