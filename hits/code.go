package hits

import (
	"math"
	"strconv"
	"strings"
)

// TypeNumber is the number of a type as the journal writes it: its mnemonic, or TYPEn.
func TypeNumber(word string) (n uint16, ok bool) { return codeOf(word, "TYPE", typeName) }

// ClassNumber is the number of a class: its mnemonic, or CLASSn.
func ClassNumber(word string) (n uint16, ok bool) { return codeOf(word, "CLASS", className) }

// RcodeNumber is the number of a response code: its mnemonic, or RCODEn.
func RcodeNumber(word string) (n uint16, ok bool) { return codeOf(word, "RCODE", rcodeName) }

func codeOf(word, unnamed string, name func(uint16) string) (uint16, bool) {
	if digits, ok := strings.CutPrefix(word, unnamed); ok {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
			return uint16(n), true
		}
	}
	if word == "" {
		return 0, false
	}
	for n := range uint16(math.MaxUint16) {
		if name(n) == word {
			return n, true
		}
	}
	return 0, false
}
