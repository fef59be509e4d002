package inventory

import (
	"fmt"
	"testing"
	"time"

	"sinkhole/hits"
)

// What hints at many machines behind an address, and what does not.
func TestManyBehind(t *testing.T) {
	type query struct {
		at     time.Duration
		family int // of the rule
		name   int
		sizes  uint16 // makes a fingerprint
	}
	rule := func(q query) uint64 { return uint64(q.name*8 + q.family*2) } // families[rule/2%4]
	var browsers, nat, alike, slow, opened []query
	for i := range 200 {
		// The system and three browsers, infected by two families, for an hour, each with a
		// cache of its own.
		browsers = append(browsers, query{time.Duration(i) * 20 * time.Second, i % 2, i % 5, uint16(i % 4)})
	}
	for i := range 4 {
		// A user opens one name in all of them at once.
		opened = append(opened, query{time.Duration(i) * time.Second, 0, 1, uint16(i)})
	}
	for i := range 20 {
		// Twenty machines of ten makes, each once in ten minutes.
		nat = append(nat, query{time.Duration(i) * 25 * time.Second, i % 2, i % 3, uint16(i % 10)})
		// Twenty like machines with one family: nothing tells them from one.
		alike = append(alike, query{time.Duration(i) * 25 * time.Second, 0, i % 3, 1})
		// A machine that is updated often, over days.
		slow = append(slow, query{time.Duration(i) * 3 * time.Hour, 0, 1, uint16(i)})
	}
	for _, c := range []struct {
		name    string
		queries []query
		want    bool
	}{
		{"one machine of several browsers", browsers, false},
		{"one name opened in all browsers at once", opened, false},
		{"a NAT of twenty", nat, true},
		{"a NAT of twenty like machines", alike, false},
		{"one machine over days", slow, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all []*hits.Hit
			for _, q := range c.queries {
				all = append(all, hitAt(testTime.Truncate(10*time.Minute).Add(q.at), "192.0.2.1:4000", rule(q), func(h *hits.Hit) {
					h.Fingerprint.EDNS, h.Fingerprint.UDPSize = true, 512+q.sizes
				}))
			}
			checkBehind(t, all, c.want)
		})
	}
}

// One question in many fingerprints at once, and more families than a loader brings.
func TestManyBehindAtOnce(t *testing.T) {
	var l line
	var same, many, loader recent
	l.time, l.qname, l.qtype = testTime.UnixNano(), []byte("a.example"), []byte("A")
	for i := range behindSameQuestion {
		l.fingerprint = fmt.Append(nil, i)
		if got := same.see(&l); got != (i == behindSameQuestion-1) {
			t.Errorf("after %d fingerprints: %v", i+1, got)
		}
	}
	l.fingerprint = []byte("rd")
	for i := range behindManyFamilies {
		l.families = [][]byte{fmt.Append(nil, i)}
		if got := many.see(&l); got != (i == behindManyFamilies-1) {
			t.Errorf("after %d families: %v", i+1, got)
		}
	}
	for i := range behindFamilies {
		l.qname = fmt.Append(nil, "b", i)
		l.families, l.fingerprint = [][]byte{fmt.Append(nil, i)}, fmt.Append(nil, i%behindMixed)
		if got := loader.see(&l); got != (i == behindFamilies-1) {
			t.Errorf("after %d families in several fingerprints: %v", i+1, got)
		}
	}
	var again recent
	again.read(loader.append(nil))
	if a, b := fmt.Sprint(again), fmt.Sprint(loader); a != b {
		t.Errorf("read back as %s, want %s", a, b)
	}
}

// checkBehind feeds hits of one client, which stays in the list whatever is thought of it.
func checkBehind(t *testing.T, all []*hits.Hit, want bool) {
	t.Helper()
	w := newWriter(t)
	w.write(encoded(t, 10_000, all)...)
	o := options(t, w.dir)
	feed(t, o)
	r, err := OpenReader(t.Context(), o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	machines, err := r.Machines(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(machines) != 1 || machines[0].ManyBehind != want || machines[0].Hits != uint64(len(all)) {
		t.Errorf("%s, want many_behind %v", asJSON(t, machines, nil), want)
	}
}
