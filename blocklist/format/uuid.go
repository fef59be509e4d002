package format

// isUUID knows the text form of RFC 9562, in any case.
func isUUID(text string) bool {
	if len(text) != len("01234567-89ab-cdef-0123-456789abcdef") {
		return false
	}
	for i := range len(text) {
		c := lower(text[i])
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !isDigit(c) && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}
