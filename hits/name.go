package hits

// appendName appends the presentation form (RFC 1035 section 5.1) of the
// uncompressed wire-form name at the start of wire, lower case and without the
// final dot (the root: "."), and returns what follows it. Octets that are not
// printable become \DDD, those with a meaning in master files get a backslash,
// so that the result is printable ASCII and reads back as the same name. What is
// no name is escaped whole: evidence is never dropped for its form.
func appendName(dst, wire []byte) (name, rest []byte) {
	if len(wire) > 0 && wire[0] == 0 {
		return append(dst, '.'), wire[1:]
	}
	name = dst
	for first := true; len(wire) > 0; first = false {
		n := int(wire[0])
		if n == 0 {
			return name, wire[1:]
		}
		if !first {
			name = append(name, '.')
		}
		if n > 63 || n >= len(wire) {
			for _, b := range wire {
				name = appendDecimal(name, b)
			}
			return name, nil
		}
		for _, b := range wire[1 : 1+n] {
			name = appendLabelOctet(name, b)
		}
		wire = wire[1+n:]
	}
	return name, nil
}

func appendLabelOctet(dst []byte, b byte) []byte {
	switch {
	case b == '.', b == ' ', b == '\'', b == '@', b == ';', b == '(', b == ')', b == '"', b == '\\':
		return append(dst, '\\', b)
	case b < ' ' || b > '~':
		return appendDecimal(dst, b)
	case 'A' <= b && b <= 'Z':
		return append(dst, b+'a'-'A')
	}
	return append(dst, b)
}

func appendDecimal(dst []byte, b byte) []byte {
	return append(dst, '\\', '0'+b/100, '0'+b/10%10, '0'+b%10)
}
