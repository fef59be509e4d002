package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// heap is a zone that comes whole, as a set.
type heap struct {
	begun bool
	lines map[string]bool
}

func (h *heap) begin(record) error {
	h.begun, h.lines = true, map[string]bool{}
	return nil
}

func (h *heap) add(r record) error {
	h.lines[string(r.wire)] = true
	return nil
}

// history is a zone's life: what it held at each serial.
type history struct {
	serials []uint32
	states  []map[string]bool
}

func newHistory(t testing.TB, r *rand.Rand) *history {
	h := &history{}
	serial := r.Uint32()
	if r.IntN(2) == 0 {
		serial = ^uint32(0) - uint32(r.IntN(4)) // so that it goes past the end
	}
	state := map[string]bool{}
	for range r.IntN(6) + 1 {
		for range r.IntN(8) {
			state = maps.Clone(state)
			line := fuzzRecord(t, r)
			if state[line] {
				delete(state, line)
			} else {
				state[line] = true
			}
		}
		h.serials, h.states = append(h.serials, serial), append(h.states, state)
		serial += uint32(r.IntN(3) + 1)
	}
	return h
}

func fuzzRecord(t testing.TB, r *rand.Rand) string {
	rr := rrs(t, fmt.Sprintf("n%d %d CNAME .", r.IntN(12), 60*(1+r.IntN(2))))[0]
	return lineOf(rr)
}

func (h *history) soa(t testing.TB, i int) []byte {
	return asRecordOf(t, rrs(t, fmt.Sprintf("SOA %d", h.serials[i]))[0]).wire
}

// increment is the history from one serial on, each step by itself, or all in
// one where condensed is set.
func (h *history) increment(t testing.TB, from int, condensed bool) [][]byte {
	last := len(h.serials) - 1
	all := [][]byte{h.soa(t, last)}
	step := func(a, b int) {
		all = append(all, h.soa(t, a))
		for _, line := range slices.Sorted(maps.Keys(h.states[a])) {
			if !h.states[b][line] {
				all = append(all, []byte(line))
			}
		}
		all = append(all, h.soa(t, b))
		for _, line := range slices.Sorted(maps.Keys(h.states[b])) {
			if !h.states[a][line] {
				all = append(all, []byte(line))
			}
		}
	}
	if from == last {
		return all
	}
	if condensed {
		step(from, last)
	} else {
		for i := from; i < last; i++ {
			step(i, i+1)
		}
	}
	return append(all, h.soa(t, last))
}

func (h *history) whole(t testing.TB) [][]byte {
	last := len(h.serials) - 1
	all := [][]byte{h.soa(t, last)}
	for line := range h.states[last] {
		all = append(all, []byte(line))
	}
	return append(all, h.soa(t, last))
}

// An increment of any history leads from its first state to its last, in every
// form in which it may come; and a stream with a fault ends in an error, or in
// what its records say when they are taken step by step.
func FuzzAssembly(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(seed), uint16(0), uint16(0))
		f.Add(seed, uint8(seed), uint16(seed+1), uint16(seed*3))
	}
	f.Fuzz(func(t *testing.T, seed uint64, form uint8, fault, place uint16) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := newHistory(t, r)
		from := r.IntN(len(h.serials))
		last := len(h.serials) - 1
		var stream [][]byte
		switch form % 3 {
		case 0:
			stream = h.increment(t, from, false)
		case 1:
			stream = h.increment(t, from, true)
		default:
			stream = h.whole(t)
			if from == last {
				stream = stream[:1] // an increment is asked for: there is none
			}
		}
		stream = harmed(stream, fault, int(place))

		into := &heap{}
		a := &assembly{apex: []byte("\x03rpz\x04test\x00"), whole: into, increment: true, have: h.serials[from]}
		var err error
		for _, wire := range stream {
			one, ok := asRecord(wire)
			if !ok {
				t.Fatal("the test's own record")
			}
			if err = a.take(one); err != nil {
				break
			}
		}
		if fault == 0 {
			if err != nil || !a.ended() {
				t.Fatalf("%v, ended: %t", err, a.ended())
			}
			checkOutcome(t, a, into, h, from)
			return
		}
		if err != nil || !a.ended() {
			return // an error, or a wait for more that does not come
		}
		checkHarmed(t, a, h, from, stream)
	})
}

// harmed loses, doubles or exchanges a record.
func harmed(stream [][]byte, fault uint16, at int) [][]byte {
	at %= len(stream)
	switch fault % 4 {
	case 1:
		return slices.Delete(slices.Clone(stream), at, at+1)
	case 2:
		return slices.Insert(slices.Clone(stream), at, stream[at])
	case 3:
		other := slices.Clone(stream)
		next := (at + 1) % len(other)
		other[at], other[next] = other[next], other[at]
		return other
	}
	return stream
}

func checkOutcome(t *testing.T, a *assembly, into *heap, h *history, from int) {
	t.Helper()
	last := len(h.serials) - 1
	switch {
	case from == last:
		if a.at != endCurrent {
			t.Fatalf("ended at %d, expected nothing newer", a.at)
		}
	case into.begun:
		if a.at != endWhole || !maps.Equal(into.lines, h.states[last]) {
			t.Fatalf("the whole zone is another one")
		}
	default:
		m := &zoneModel{h.serials[from], maps.Clone(h.states[from])}
		d := a.delta()
		if err := m.apply(d); err != nil {
			t.Fatal(err)
		}
		if m.serial != h.serials[last] || !maps.Equal(m.lines, h.states[last]) {
			t.Fatalf("serial %d with %d records, expected %d with %d", m.serial, len(m.lines), h.serials[last], len(h.states[last]))
		}
	}
}

// checkHarmed takes the records one by one, as RFC 1995 says, and compares.
func checkHarmed(t *testing.T, a *assembly, h *history, from int, stream [][]byte) {
	t.Helper()
	if a.at != endDelta {
		return
	}
	d := a.delta()
	if d.From != h.serials[from] || !newer(d.To, d.From) {
		t.Fatalf("an increment from %d to %d, expected one from %d", d.From, d.To, h.serials[from])
	}
	want, err := stepByStep(h.states[from], stream)
	m := &zoneModel{h.serials[from], maps.Clone(h.states[from])}
	if err != nil {
		return // where a record comes and goes again, this need not show
	}
	if err := m.apply(d); err != nil || !maps.Equal(m.lines, want) {
		t.Fatalf("as one: %v, %d records; step by step %d records", err, len(m.lines), len(want))
	}
}

func stepByStep(state map[string]bool, stream [][]byte) (map[string]bool, error) {
	state = maps.Clone(state)
	adding := true
	for _, wire := range stream[1:] {
		one, _ := asRecord(wire)
		line := string(wire)
		switch {
		case one.kind() == typeSOA:
			adding = !adding
		case state[line] == adding:
			return nil, errors.New("does not fit")
		case adding:
			state[line] = true
		default:
			delete(state, line)
		}
	}
	return state, nil
}

// The library reads the same records as we do, or refuses the message too.
func FuzzMessage(f *testing.F) {
	for _, lines := range [][]string{{"SOA 1", "a CNAME .", "*.b CNAME c.rpz.test.", "SOA 1"}, {"@ MX 5 x", `t TXT "a" "b"`, "s SRV 1 2 3 a.rpz.test."},
		{`n NAPTR 1 2 "u" "s" "!a!b!" x`, "r RP a b", "p PX 1 a b", "@ NSEC a A TXT", "k KX 1 a", "g TYPE65280 \\# 3 010203"}} {
		m := new(dns.Msg)
		m.SetQuestion("rpz.test.", dns.TypeAXFR)
		m.Response, m.Compress = true, true
		m.Answer = rrs(f, lines...)
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		m.SetTsig("key.test.", dns.HmacSHA256, 300, 1_700_000_000)
		if raw, _, err = dns.TsigGenerate(m, testSecret, "", false); err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > maxMessage {
			return
		}
		m, err := readMessage(raw)
		if err != nil {
			return
		}
		var ours [][]byte
		at, buf := m.at, []byte(nil)
		for range m.answers {
			var r record
			if buf, r, at, err = appendRecord(buf[:0], raw, at); err != nil {
				return
			}
			again, ok := asRecord(r.wire)
			if !ok || again.owner != r.owner || len(again.wire) != len(r.wire) {
				t.Fatalf("%x is not read again", r.wire)
			}
			ours = append(ours, slices.Clone(r.wire))
		}
		lib := new(dns.Msg)
		if err := lib.Unpack(raw); err != nil {
			return // it looks into the data of records that we only copy
		}
		if len(lib.Answer) != len(ours) {
			t.Fatalf("%d records, the library finds %d", len(ours), len(lib.Answer))
		}
		for i, rr := range lib.Answer {
			kind := rr.Header().Rrtype
			if kind >= dns.TypeSVCB {
				continue // names in newer types are never compressed; the library reads them all the same
			}
			if rr.Header().Ttl > 1<<31-1 {
				rr.Header().Ttl = 0
			}
			one, n, err := dns.UnpackRR(ours[i], 0)
			if err != nil || n != len(ours[i]) {
				t.Fatalf("record %d: the library does not read what we made of %s: %v", i, rr, err)
			}
			if lineOf(one) != lineOf(rr) {
				t.Fatalf("record %d is %s, expected %s", i, one, rr)
			}
		}
	})
}

// Whatever is in a file of increments, what is read of it leads on from the
// copy's serial, and reading what was cut there finds the same.
func FuzzIncrements(f *testing.F) {
	text := []byte(incrementsMagic)
	f.Add(text, uint32(1))
	for i, d := range []Delta{deltaOf(f, 1, 2, "a", "c"), deltaOf(f, 2, 4, "", "d e"), deltaOf(f, 4, 5, "b c", "")} {
		text = appendFrame(text, d)
		f.Add(slices.Clone(text), uint32(1))
		f.Add(slices.Clone(text[:len(text)-i-1]), uint32(1))
	}
	f.Fuzz(func(t *testing.T, text []byte, base uint32) {
		s := scanIncrements(text, base)
		if s.end > len(text) || s.count == 0 && (s.end != 0 || s.serial != base) {
			t.Fatalf("%+v of %d octets", s, len(text))
		}
		serial := base
		eachFrame(text[:s.end], base, func(d Delta) bool {
			if d.From != serial || !newer(d.To, d.From) {
				t.Fatalf("from %d to %d behind %d", d.From, d.To, serial)
			}
			for range d.Removed.All() {
			}
			for range d.Added.All() {
			}
			serial = d.To
			return true
		})
		again := scanIncrements(text[:s.end], base)
		if serial != s.serial || again.end != s.end || again.count != s.count || again.serial != s.serial {
			t.Fatalf("%+v, then %+v", s, again)
		}
		// A frame with a right checksum and anything in it.
		if len(text) > frameHead {
			body := text[frameHead:]
			made := appendFrame(nil, Delta{SOA: body})
			copy(made[frameHead:], body)
			binary.BigEndian.PutUint32(made, uint32(len(body)))
			_, _, _ = readFrame(made)
		}
	})
}
