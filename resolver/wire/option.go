package wire

import "encoding/binary"

// HasOption says whether an OPT record of msg has an option of that code. Of a message
// that is not well-formed it says what is found before the fault.
func HasOption(msg []byte, code uint16) bool {
	if len(msg) < HeaderLen {
		return false
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(msg[at:])) }
	off := HeaderLen
	for range count(atQuestions) {
		if off = skipName(msg, off); off < 0 || off+4 > len(msg) {
			return false
		}
		off += 4
	}
	for range count(atAnswers) + count(atAuthority) + count(atAdditional) {
		if opt, ok := optAt(msg, off); ok && listed(msg[opt.options:opt.end], code) {
			return true
		}
		if off = skipName(msg, off); off < 0 || off+10 > len(msg) {
			return false
		}
		if off += 10 + count(off+8); off > len(msg) {
			return false
		}
	}
	return false
}

func listed(options []byte, code uint16) bool {
	for len(options) > 0 {
		found, _, rest, ok := NextOption(options)
		if !ok {
			return false
		}
		if found == code {
			return true
		}
		options = rest
	}
	return false
}
