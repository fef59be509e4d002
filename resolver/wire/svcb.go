package wire

import (
	"encoding/binary"
	"net/netip"
)

// The keys of SVCB parameters (RFC 9460 section 14.3, RFC 9461 section 5), in the
// order in which they must stand.
const (
	svcbALPN     uint16 = 1
	svcbPort     uint16 = 3
	svcbIPv4Hint uint16 = 4
	svcbIPv6Hint uint16 = 6
	svcbDoHPath  uint16 = 7
)

// SVCBParams are the parameters of a SVCB record of ours. What is empty is left out.
type SVCBParams struct {
	ALPN    []string // each of 1 to 255 octets
	Port    uint16
	Hint    netip.Addr
	DoHPath string
}

// AppendSVCB appends a SVCB record of the question's name (RFC 9460); target is a name
// in wire form.
func AppendSVCB(dst []byte, ttl uint32, priority uint16, target []byte, p SVCBParams) []byte {
	dst = appendRRHeader(dst, TypeSVCB, ClassIN, ttl, 0)
	start := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, priority)
	dst = append(dst, target...)
	if len(p.ALPN) > 0 {
		dst = binary.BigEndian.AppendUint16(dst, svcbALPN)
		at := len(dst)
		dst = append(dst, 0, 0)
		for _, id := range p.ALPN {
			dst = append(append(dst, byte(len(id))), id...)
		}
		binary.BigEndian.PutUint16(dst[at:], uint16(len(dst)-at-2))
	}
	if p.Port != 0 {
		dst = append(appendParam(dst, svcbPort, 2), byte(p.Port>>8), byte(p.Port))
	}
	if hint := p.Hint.Unmap(); hint.Is4() {
		dst = append(appendParam(dst, svcbIPv4Hint, 4), hint.AsSlice()...)
	} else if hint.Is6() {
		dst = append(appendParam(dst, svcbIPv6Hint, 16), hint.AsSlice()...)
	}
	if p.DoHPath != "" {
		dst = append(appendParam(dst, svcbDoHPath, len(p.DoHPath)), p.DoHPath...)
	}
	binary.BigEndian.PutUint16(dst[start-2:], uint16(len(dst)-start))
	return dst
}

func appendParam(dst []byte, key uint16, length int) []byte {
	return append(dst, byte(key>>8), byte(key), byte(length>>8), byte(length))
}
