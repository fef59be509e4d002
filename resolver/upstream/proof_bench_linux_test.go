package upstream

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"
)

// BenchmarkProofs is what a reader's query and its reply cost beside what they always do.
func BenchmarkProofs(b *testing.B) {
	random := rand.NewChaCha8([32]byte{})
	s := newServer(netip.MustParseAddrPort("192.0.2.1:53"), zap.NewNop())
	now := time.Now()
	plain := newProbe([]byte("\x03www\x07example\x03com\x00"), 1)
	buffer := make([]byte, maxSent)
	run := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			q := plain
			q.msg = append(buffer[:0], plain.msg...)
			q = q.withProofs(s, now, random)
			q.msg[2] |= 0x80
			if v := q.judgeAt(s, q.msg, now); v != accepted {
				b.Fatal(v)
			}
			q.restore(q.msg)
		}
	}
	b.Run("none", run)
	s.proofs.keptCase()
	s.proofs.keptCase()
	b.Run("case", run)
	s.proofs.learn(make([]byte, 8), make([]byte, 24), now)
	b.Run("case and cookie", run)
}
