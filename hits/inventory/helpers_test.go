package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"sinkhole/hits"
)

var testTime = time.Date(2026, 2, 1, 3, 4, 5, 123456789, time.UTC)

// policy has the indicators that random hits match.
type policy struct{}

var families = []string{"Lumma Stealer", "Vidar", "RedLine", ""}

func (policy) Indicator(rule uint64) hits.Indicator {
	typ, name := "domain-name", fmt.Sprintf("r%d.example", rule/2)
	if rule%7 == 3 {
		typ, name = "ipv4-addr", fmt.Sprintf("203.0.113.%d", rule%256)
	}
	return hits.Indicator{Type: typ, Name: name, Scope: "subtree", List: fmt.Sprintf("list%d", rule%3), Line: 1, Family: families[rule/2%4], Confidence: -1}
}

func wireName(labels ...string) (w []byte) {
	for _, l := range labels {
		w = append(append(w, byte(len(l))), l...)
	}
	return append(w, 0)
}

// hitAt is a hit of a client, with a rule.
func hitAt(at time.Time, client string, rule uint64, mod func(*hits.Hit)) *hits.Hit {
	h := &hits.Hit{
		Time: at, Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort("198.51.100.53:53"),
		QType: 1, QClass: 1, Flags: 1<<15 | 1<<8 | 1<<7, Answered: true,
		NRules: 1, Evidence: &policy{}, Rules: [hits.MaxRules]uint64{rule},
		Fingerprint: hits.Fingerprint{RD: true}, Action: "sinkhole",
	}
	h.QNameLen = uint8(copy(h.QName[:], wireName("a", fmt.Sprintf("r%d", rule/2), "example")))
	if mod != nil {
		mod(h)
	}
	return h
}

// encoded are the lines that the journal writes for hits.
func encoded(t testing.TB, mergeAbove int, all []*hits.Hit) (lines [][]byte) {
	t.Helper()
	dir := t.TempDir()
	j, err := hits.Open(hits.Options{Dir: dir, MergeAbove: mergeAbove, QueueLength: 1 << 16, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	q := j.NewQueue(1)
	for _, h := range all {
		for j.Stats().Queued > 1<<14 {
			time.Sleep(time.Millisecond)
		}
		q.Record(h)
	}
	if err := j.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if lost := j.Stats().Lost; lost > 0 {
		t.Fatalf("%d hits were lost", lost)
	}
	if err := hits.Read(t.Context(), dir, hits.Filter{Journal: true}, func(r *hits.Record) error {
		lines = append(lines, bytes.Clone(r.Raw))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return lines
}

// randomLines are hits of few clients, so that they meet, with landings among them.
func randomLines(t testing.TB, r *rand.Rand, n int) (lines [][]byte) {
	t.Helper()
	var all []*hits.Hit
	at := testTime
	for range n {
		if r.IntN(10) > 0 {
			at = at.Add(time.Duration(r.IntN(int(20 * time.Minute))))
		}
		all = append(all, randomHit(r, at))
	}
	for _, line := range encoded(t, 1+r.IntN(20), all) {
		for r.IntN(10) == 0 {
			lines = append(lines, landing(r, at))
		}
		lines = append(lines, line)
	}
	return lines
}

func randomHit(r *rand.Rand, at time.Time) *hits.Hit {
	return hitAt(at, fmt.Sprintf("192.0.2.%d:%d", r.IntN(8), 1024+r.IntN(100)), uint64(r.IntN(20)), func(h *hits.Hit) {
		h.NRules = uint8(1 + r.IntN(3))
		h.Rules[1], h.Rules[2] = uint64(r.IntN(20)), uint64(r.IntN(20))
		h.SourceProven, h.Observe = r.IntN(3) == 0, r.IntN(5) == 0
		h.Expected, h.Forwarder = r.IntN(15) == 0, r.IntN(15) == 0
		h.Fingerprint.UDPSize, h.Fingerprint.EDNS = uint16(r.IntN(12)), true
		if h.Forwarder || r.IntN(2) == 0 {
			return
		}
		id := &hits.Identity{Forwarder: h.Client.Addr(), Source: 65001}
		switch r.IntN(4) {
		case 0:
			id.MAC = [6]byte{0, 0, 0x5e, 0, 0x53, byte(r.IntN(3))}
		case 1:
			id.CPELen = uint8(copy(id.CPE[:], fmt.Sprintf("cpe%d", r.IntN(2))))
		case 2:
			id.HasDevice, id.Device = true, [8]byte{1, byte(r.IntN(2))}
		}
		h.Relayed, h.Peer = true, h.Client
		if r.IntN(3) > 0 {
			id.Addr = netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(6))})
			h.Client = netip.AddrPortFrom(id.Addr, 0)
		}
		h.Identity = id
	})
}

// landing is a connection as the landing records it.
func landing(r *rand.Rand, at time.Time) []byte {
	address := fmt.Sprintf("192.0.2.%d", r.IntN(10))
	if r.IntN(2) == 0 {
		address = fmt.Sprintf("10.0.0.%d", r.IntN(8))
	}
	families, lists := []string{"Vidar"}, []map[string]any{{"name": "list1", "line": 3}}
	evidence := []string{Connected, Sent}[r.IntN(2)]
	line, err := json.Marshal(map[string]any{
		"@timestamp": at.Format(timeLayout), "event": map[string]any{"dataset": hits.DatasetLanding, "action": "connection"},
		"client":   map[string]any{"ip": address, "port": 1 + r.IntN(60000)},
		"threat":   map[string]any{"indicator": map[string]any{"type": "domain-name", "name": "landed.example"}, "feed": map[string]any{"name": "list1"}, "software": map[string]any{"name": "Vidar"}},
		"sinkhole": map[string]any{"evidence": evidence, "noise": r.IntN(4) == 0, "families": families, "lists": lists},
	})
	if err != nil {
		panic(err)
	}
	return line
}

// writer writes lines to a journal in segments.
type writer struct {
	t    testing.TB
	dir  string
	seq  int
	file *os.File
}

func newWriter(t testing.TB) *writer { return &writer{t: t, dir: t.TempDir()} }

func (w *writer) rotate() {
	if w.file != nil {
		w.file.Close()
	}
	w.seq++
	var err error
	if w.file, err = os.Create(filepath.Join(w.dir, fmt.Sprintf("hits-%010d-20260201T000000Z.jsonl", w.seq))); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.file.Close() })
}

func (w *writer) write(lines ...[]byte) {
	if w.file == nil {
		w.rotate()
	}
	if _, err := w.file.Write(append(bytes.Join(lines, []byte("\n")), '\n')); err != nil {
		w.t.Fatal(err)
	}
}

func options(t testing.TB, journal string) Options {
	return Options{Path: filepath.Join(t.TempDir(), "inventory.db"), Journal: journal, Logger: zaptest.NewLogger(t)}
}

// feed brings an inventory up with its journal.
func feed(t testing.TB, o Options) {
	t.Helper()
	x := New(o)
	defer x.Close()
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// views are all views of an inventory as JSON, for each of some filters.
func views(t testing.TB, path string) (all []string) {
	t.Helper()
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, f := range testFilters() {
		machines, err := r.Machines(t.Context(), f)
		all = append(all, asJSON(t, machines, err))
		some, err := r.Families(t.Context(), f)
		all = append(all, asJSON(t, some, err))
		indicators, err := r.Indicators(t.Context(), f)
		all = append(all, asJSON(t, indicators, err))
	}
	return all
}

func testFilters() []Filter {
	return []Filter{
		{Hours: true},
		{Since: testTime.Add(5 * time.Hour), Until: testTime.Add(30 * time.Hour), Hours: true},
		{Family: "vidar"}, {List: "list2"}, {Family: "Vidar", List: "list1", Since: testTime.Add(20 * time.Hour)},
		{Evidence: Connected}, {Evidence: Sent}, {Limit: 3}, {Limit: 4, Hours: true, Since: testTime.Add(9 * time.Hour)},
		{Client: netip.MustParsePrefix("10.0.0.0/30")},
	}
}

func asJSON(t testing.TB, v any, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
