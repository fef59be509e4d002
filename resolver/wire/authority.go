package wire

import "encoding/binary"

// AuthorityOwner is the owner of the first record in the authority section of a message
// with one question, as an uncompressed name of lower case in dst; nil where there is none.
func AuthorityOwner(msg []byte, dst *[MaxName]byte) []byte {
	if len(msg) < HeaderLen || binary.BigEndian.Uint16(msg[atAuthority:]) == 0 || binary.BigEndian.Uint16(msg[atQuestions:]) != 1 {
		return nil
	}
	off := skipName(msg, HeaderLen)
	if off < 0 {
		return nil
	}
	off += 4
	for range binary.BigEndian.Uint16(msg[atAnswers:]) {
		if off = skipName(msg, off); off < 0 || off+10 > len(msg) {
			return nil
		}
		off += 10 + int(binary.BigEndian.Uint16(msg[off+8:]))
	}
	return expand(msg, off, dst)
}

// expand copies the name at off into dst; nil where it is none. A pointer leads back, so
// that there is an end.
func expand(msg []byte, off int, dst *[MaxName]byte) []byte {
	n := 0
	for off >= 0 && off < len(msg) {
		c := int(msg[off])
		switch {
		case c >= 0xC0:
			if off+2 > len(msg) {
				return nil
			}
			to := int(binary.BigEndian.Uint16(msg[off:]) & 0x3FFF)
			if to >= off {
				return nil
			}
			off = to
			continue
		case c >= 0x40 || off+1+c > len(msg) || n+1+c > len(dst):
			return nil
		}
		for _, b := range msg[off : off+1+c] {
			dst[n] = lower(b) // no length is a letter
			n++
		}
		if c == 0 {
			return dst[:n]
		}
		off += 1 + c
	}
	return nil
}
