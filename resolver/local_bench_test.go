package resolver

import "testing"

// BenchmarkLocalKind is what each query that no list blocks pays for names that stay
// local.
func BenchmarkLocalKind(b *testing.B) {
	s := compileSettings(*sinkSettings(), nil)
	for _, name := range []string{"www.example.com.", "a.very.long.name.of.many.labels.cdn.example.net.", "4.3.2.192.in-addr.arpa.", "1.0.168.192.in-addr.arpa.", "www.example.test."} {
		packed, _ := packName(name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.localKind(packed)
			}
		})
	}
}
