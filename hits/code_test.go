package hits

import "testing"

// What the journal writes of a number reads back as that number.
func TestNumbersReadBack(t *testing.T) {
	for _, kind := range []struct {
		name   func(uint16) string
		number func(string) (uint16, bool)
	}{{typeName, TypeNumber}, {className, ClassNumber}, {rcodeName, RcodeNumber}} {
		for n := 0; n <= 65535; n += 1 + n/600*7 {
			if got, ok := kind.number(kind.name(uint16(n))); !ok || got != uint16(n) {
				t.Errorf("%s: got %d, %v, want %d", kind.name(uint16(n)), got, ok, n)
			}
		}
		for _, word := range []string{"", "NONSENSE", "TYPE65536", "CLASS-1", "RCODE"} {
			if n, ok := kind.number(word); ok {
				t.Errorf("%q: got %d", word, n)
			}
		}
	}
}
