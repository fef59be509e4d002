package inventory

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"sinkhole/hits"
)

// A line is read as encoding/json reads it.
func TestLineIsReadAsARecord(t *testing.T) {
	var l line
	read := 0
	for seed := range uint64(10) {
		for _, text := range randomLines(t, rand.New(rand.NewPCG(seed, 3)), 200) {
			checkLine(t, &l, text)
			read++
		}
	}
	if read < 1000 {
		t.Errorf("only %d lines", read)
	}
}

func checkLine(t *testing.T, l *line, text []byte) {
	t.Helper()
	r, err := hits.ParseRecord(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.read(text); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	s := &r.Sinkhole
	same := func(what string, got, want any) {
		t.Helper()
		if g, w := asJSON(t, got, nil), asJSON(t, want, nil); g != w {
			t.Errorf("%s: found %s, want %s: %s", what, g, w, text)
		}
	}
	same("time", l.time, r.Time.UnixNano())
	same("last", l.last, r.End().UnixNano())
	address := ""
	if r.Client.IP.IsValid() {
		address = r.Client.IP.String()
	}
	same("who", []string{string(l.address), string(l.mac), string(l.cpe), string(l.device)}, []string{address, r.Client.MAC, s.Identity.CPE, s.Identity.Device})
	same("port", l.port, r.Client.Port)
	same("question", []string{string(l.qname), string(l.qtype), string(l.fingerprint)}, []string{r.DNS.Question.Name, r.DNS.Question.Type, s.Fingerprint})
	same("flags", []bool{l.trusted, l.proven, l.forwarder, l.expected, l.byClient},
		[]bool{s.Identity.Trusted, s.SourceProven, s.Forwarder, s.Expected, s.Merged == hits.MergedClient})
	if r.Event.Dataset == hits.DatasetHit {
		same("count", l.count, s.Count)
		rules := s.Indicators
		if len(rules) == 0 {
			th := &r.Threat
			rules = []hits.RecordIndicator{{Type: th.Indicator.Type, Name: th.Indicator.Name, List: th.Feed.Name, Family: th.Software.Name}}
		}
		var got, want [][4]string
		for _, x := range l.rules {
			got = append(got, [4]string{string(x.typ), string(x.name), string(x.list), string(x.family)})
		}
		for _, x := range rules {
			want = append(want, [4]string{x.Type, x.Name, x.List, x.Family})
		}
		same("rules", got, want)
	}
	same("families", texts(l.families), append([]string{}, s.Families...))
}

func texts(all [][]byte) []string {
	out := []string{}
	for _, v := range all {
		out = append(out, string(v))
	}
	return out
}

// Whatever stands in a line: what encoding/json takes for an object the scanner passes over,
// and texts are what they are there.
func FuzzLine(f *testing.F) {
	for _, line := range randomLines(f, rand.New(rand.NewPCG(1, 4)), 20) {
		f.Add(line)
	}
	f.Add([]byte(`{"event":{"dataset":"x\u0041\"\\"},"@timestamp":"2026-02-01T03:04:05Z","sinkhole":{"families":["a",null,3]}}`))
	f.Add([]byte(`{"a":[{},[],-1.5e+3,true,null,"\\\""]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var l line
		err := l.read(text)
		members := map[string]json.RawMessage{}
		if json.Unmarshal(text, &members) != nil {
			return
		}
		s := scanner{text: text}
		var keys []string
		s.members(func(key []byte) {
			keys = append(keys, string(key))
			s.skip()
		})
		if s.err != nil || s.peek() != 0 {
			if json.Unmarshal(text, new(map[string]any)) == nil && !deep(text) {
				t.Fatalf("refused: %q", text)
			}
			return
		}
		for key := range members {
			if !slices.Contains(keys, key) {
				t.Fatalf("%q: no member %q among %q", text, key, keys)
			}
		}
		if err != nil {
			return
		}
		if l.time > l.last || len(l.dataset) == 0 {
			t.Fatalf("%q: %+v", text, l)
		}
		l.identify(nil)
	})
}

// deep tells whether a text may be nested beyond what the scanner follows.
func deep(text []byte) bool {
	n := 0
	for _, c := range text {
		if c == '{' || c == '[' {
			n++
		}
	}
	return n > maxDepth
}

func BenchmarkLine(b *testing.B) {
	lines := randomLines(b, rand.New(rand.NewPCG(1, 5)), 1000)
	var l line
	n := 0
	for b.Loop() {
		if err := l.read(lines[n%len(lines)]); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(lines[n%len(lines)])))
		n++
	}
}
