package wire_test

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// FuzzReply reads whatever octets as a reply. What both we and the library can
// read must mean the same to both, also after Strip and Scrub.
func FuzzReply(f *testing.F) {
	for i := range uint64(50) {
		f.Add(pack(f, randomReply(rand.New(rand.NewPCG(i, 0)))))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var r wire.Reply
		if r.Parse(msg) != nil {
			return
		}
		m := new(dns.Msg)
		if m.Unpack(msg) != nil || len(msg) == wire.HeaderLen {
			// Of a few types the library knows rules that we do not hold replies to.
			strip(t, &r, msg)
			return
		}
		holdToModel(t, &r, msg, m)
	})
}

// FuzzGeneratedReply holds well-formed replies to the model: none may be
// refused.
func FuzzGeneratedReply(f *testing.F) {
	for i := range uint64(500) {
		f.Add(i, i)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		msg := pack(t, randomReply(rand.New(rand.NewPCG(a, b))))
		var r wire.Reply
		if err := r.Parse(msg); err != nil {
			t.Fatalf("%v\n%v\n%s", err, unpack(t, msg), hex.Dump(msg))
		}
		holdToModel(t, &r, msg, unpack(t, msg))
	})
}

func holdToModel(t *testing.T, r *wire.Reply, msg []byte, m *dns.Msg) {
	t.Helper()
	model := factsOf(t, m)
	compare(t, r, msg, model)

	stripped := strip(t, r, slices.Clone(msg))
	sameRecords(t, "stripped", unpack(t, stripped), m)
	scrubbed, err := r.Scrub(stripped)
	if err != nil {
		t.Fatalf("scrub: %v", err)
	}
	after := unpack(t, scrubbed)
	sameRecords(t, "scrubbed", after, model.kept)
	described(t, "scrubbed", r, scrubbed)
	if r.Strays != 0 {
		t.Errorf("%d strays left after Scrub", r.Strays)
	}
	if r.RCode != model.rcode {
		t.Errorf("rcode %d after Strip and Scrub, before %d", r.RCode, model.rcode)
	}

	// In the other order the OPT record stays to the end.
	if err := r.Parse(msg); err != nil {
		t.Fatal(err)
	}
	scrubbed, err = r.Scrub(slices.Clone(msg))
	if err != nil {
		t.Fatalf("scrub: %v", err)
	}
	if got := unpack(t, scrubbed).IsEdns0(); (got == nil) != (model.opt == nil) || got != nil && got.String() != model.opt.String() {
		t.Errorf("Scrub changed the OPT record from %v to %v", model.opt, got)
	}
	sameRecords(t, "scrubbed, then stripped", unpack(t, strip(t, r, scrubbed)), model.kept)

	if t.Failed() {
		t.Logf("%v\n%s", m, hex.Dump(msg))
	}
}

func strip(t *testing.T, r *wire.Reply, msg []byte) []byte {
	t.Helper()
	rcode := r.RCode
	out := r.Strip(msg)
	described(t, "stripped", r, out)
	if r.OPTLen != 0 || r.RCode != rcode {
		t.Errorf("after Strip: OPT of %d octets, rcode %d, was %d", r.OPTLen, r.RCode, rcode)
	}
	return out
}

// described holds what r says to what a fresh look at msg says.
func described(t *testing.T, what string, r *wire.Reply, msg []byte) {
	t.Helper()
	var fresh wire.Reply
	if err := fresh.Parse(msg); err != nil {
		t.Fatalf("%s: %v\n%s", what, err, hex.Dump(msg))
	}
	if fresh.Answers != r.Answers || fresh.Authorities != r.Authorities || fresh.Additionals != r.Additionals ||
		fresh.OPTOffset != r.OPTOffset || fresh.OPTLen != r.OPTLen || fresh.QuestionEnd != r.QuestionEnd ||
		fresh.Strays != r.Strays || !slices.Equal(fresh.TTLs, r.TTLs) || !slices.Equal(fresh.Addrs, r.Addrs) ||
		!slices.Equal(fresh.Names, r.Names) || fresh.TTL() != r.TTL() && r.RCode < 16 {
		t.Errorf("%s: described as\n%+v\nis\n%+v", what, visible(r), visible(&fresh))
	}
}

func visible(r *wire.Reply) []any {
	return []any{r.Answers, r.Authorities, r.Additionals, r.OPTOffset, r.OPTLen, r.QuestionEnd, r.Strays, r.TTLs, r.Addrs, r.Names, r.TTL()}
}
