package wire

import (
	"encoding/binary"
	"slices"
)

// EDNS option codes that the package looks at (IANA, RFC 6891 section 9).
const (
	OptionNSID      uint16 = 3
	OptionDAU       uint16 = 5
	OptionN3U       uint16 = 7
	OptionECS       uint16 = 8
	OptionCookie    uint16 = 10
	OptionKeepalive uint16 = 11
	OptionPadding   uint16 = 12
	OptionEDE       uint16 = 15
	// The first code after those that are assigned as of 2026, Report-Channel
	// (18) and ZONEVERSION (19) being the last of the low ones.
	firstPlainOption uint16 = 20
)

// optHeaderLen is an OPT record without its options: root name, type, class,
// TTL, RDLENGTH.
const optHeaderLen = 11

// EDE is an extended DNS error (RFC 8914).
type EDE struct {
	Code uint16
	Text string // UTF-8, may be empty
}

// AppendOPT appends an OPT record (RFC 6891): udpSize is what we can receive, of
// rcode the upper eight of its twelve bits go here (the lower four stand in
// the header). With ede not nil it carries that one option. The caller counts
// the record as additional.
func AppendOPT(dst []byte, udpSize uint16, do bool, rcode uint16, ede *EDE) []byte {
	var z byte
	if do {
		z = 0x80
	}
	dst = append(dst, 0, 0, byte(TypeOPT), byte(udpSize>>8), byte(udpSize), byte(rcode>>4), 0, z, 0, 0, 0)
	if ede == nil {
		return dst
	}
	length := 2 + len(ede.Text)
	binary.BigEndian.PutUint16(dst[len(dst)-2:], uint16(4+length))
	dst = binary.BigEndian.AppendUint16(dst, OptionEDE)
	dst = binary.BigEndian.AppendUint16(dst, uint16(length))
	dst = binary.BigEndian.AppendUint16(dst, ede.Code)
	return append(dst, ede.Text...)
}

// AppendOption appends an option to the OPT record that begins at opt and ends with dst.
func AppendOption(dst []byte, opt int, code uint16, data []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, code)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	return closeOPT(append(dst, data...), opt)
}

// AppendPadding appends a padding option (RFC 7830) to the OPT record that begins at opt
// and ends with dst, so that the length becomes a multiple of block octets, where a
// message may be so long.
func AppendPadding(dst []byte, opt, block int) []byte {
	n := (block - (len(dst)+4)%block) % block
	if len(dst)+4+n > MaxMessage {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, OptionPadding)
	dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	dst = slices.Grow(dst, n)[:len(dst)+n]
	clear(dst[len(dst)-n:])
	return closeOPT(dst, opt)
}

// closeOPT states the length of the options of an OPT record that ends with msg.
func closeOPT(msg []byte, opt int) []byte {
	binary.BigEndian.PutUint16(msg[opt+optHeaderLen-2:], uint16(len(msg)-opt-optHeaderLen))
	return msg
}

// NextOption takes the first option off a list of EDNS options. ok is false at
// the end of the list, and where what is left is no option.
func NextOption(options []byte) (code uint16, data, rest []byte, ok bool) {
	if len(options) < 4 {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(options[2:]))
	if 4+n > len(options) {
		return 0, nil, nil, false
	}
	return binary.BigEndian.Uint16(options), options[4 : 4+n], options[4+n:], true
}

// usualOptions says whether options is a well-formed list of options that
// queries carry every day, and takes in their codes. What it lets through needs no
// FORMERR from anyone.
func usualOptions(options []byte, codes *Codes) bool {
	for len(options) > 0 {
		code, data, rest, ok := NextOption(options)
		if !ok || !usualOption(code, data) {
			return false
		}
		codes.Add(code, code == OptionECS && data[2] == 0)
		options = rest
	}
	return true
}

// IsCookieLen says whether a cookie option may have so many octets: the client's part, or
// that and a server's (RFC 7873 section 4).
func IsCookieLen(n int) bool { return n == 8 || 16 <= n && n <= 40 }

func usualOption(code uint16, data []byte) bool {
	switch {
	case code == OptionECS:
		return usualECS(data)
	case code == OptionCookie: // RFC 7873 section 4
		return IsCookieLen(len(data))
	case code == OptionKeepalive: // RFC 7828 section 3.2.1: empty in a query
		return len(data) == 0
	case code == OptionNSID, code == OptionPadding, OptionDAU <= code && code <= OptionN3U:
		return true
	}
	return code >= firstPlainOption
}

// usualECS holds a client subnet to RFC 7871 section 6 and 7.1.1: scope 0, as
// many octets of address as the source prefix needs, the rest of the last
// zero.
func usualECS(data []byte) bool {
	if len(data) < 4 || data[3] != 0 {
		return false
	}
	family, bits, address := binary.BigEndian.Uint16(data), int(data[2]), data[4:]
	switch {
	case family == 0 && bits == 0: // dig +subnet=0
	case family == 1 && bits <= 32:
	case family == 2 && bits <= 128:
	default:
		return false
	}
	if len(address) != (bits+7)/8 {
		return false
	}
	return bits%8 == 0 || address[len(address)-1]<<(bits%8) == 0
}

type optRecord struct {
	udpSize       uint16
	extendedRCode uint8
	version       uint8
	do            bool
	options, end  int // offsets in the message
}

// optAt reads the OPT record that begins at off; false where there is no whole
// record with the root as its owner (RFC 6891 section 6.1.2).
func optAt(msg []byte, off int) (o optRecord, ok bool) {
	if off+optHeaderLen > len(msg) || msg[off] != 0 || binary.BigEndian.Uint16(msg[off+1:]) != TypeOPT {
		return o, false
	}
	o.udpSize = binary.BigEndian.Uint16(msg[off+3:])
	o.extendedRCode = msg[off+5]
	o.version = msg[off+6]
	o.do = msg[off+7]&0x80 != 0
	o.options = off + optHeaderLen
	o.end = o.options + int(binary.BigEndian.Uint16(msg[off+9:]))
	return o, o.end <= len(msg)
}
