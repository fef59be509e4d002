package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/miekg/dns"
)

// lineOf is a record as one line: owner in lower case, TTL, type, data.
func lineOf(rr dns.RR) string {
	rr = dns.Copy(rr)
	rr.Header().Name = strings.ToLower(rr.Header().Name)
	buf := make([]byte, dns.Len(rr)+1)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return err.Error()
	}
	return string(buf[:n])
}

// zoneOwner is what a real owner does, in the simplest way: a set of records for
// each zone, changed by increments that must fit.
type zoneOwner struct {
	t     testing.TB
	store *Store
	zones *Zones

	mu    sync.Mutex
	held  map[string]*zoneModel
	judge func(c Candidate, m *zoneModel) Judgement // nil: accept
	apply func(i *Increment) error                  // asked first; nil: fits
	log   []string                                  // what came, as "whole 7" or "increment 7 8"
}

type zoneModel struct {
	serial uint32
	lines  map[string]bool
}

func newZoneOwner(t testing.TB, dir string, o ZoneOptions) *zoneOwner {
	t.Helper()
	store, err := OpenStore(dir, StoreOptions{Logger: o.Logger})
	if err != nil {
		t.Fatal(err)
	}
	w := &zoneOwner{t: t, store: store, held: map[string]*zoneModel{}}
	o.Store, o.Candidate, o.Increment = store, w.candidate, w.increment
	if o.Timers == (Timers{}) {
		o.Timers = quickTimers()
	}
	if w.zones, err = NewZones(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// quickTimers let SOA records of seconds hold.
func quickTimers() Timers {
	return Timers{MinRefresh: time.Second, MinRetry: 200 * time.Millisecond, MinExpire: time.Second, NotifyEvery: 100 * time.Millisecond}
}

func (w *zoneOwner) close() {
	_ = w.zones.Close()
	_ = w.store.Close()
}

func (w *zoneOwner) set(specs ...ZoneSpec) {
	w.t.Helper()
	if err := w.zones.Set(specs); err != nil {
		w.t.Fatal(err)
	}
}

func (w *zoneOwner) candidate(_ context.Context, c Candidate) Judgement {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, err := os.ReadFile(c.Path)
	if err != nil {
		return Reject(err)
	}
	m, err := readModel(text)
	if err != nil {
		return Reject(err)
	}
	if serial, ok := ZoneSerial(c.Copy); !ok || serial != m.serial {
		w.t.Errorf("the copy's serial is %d, that of its text %d", serial, m.serial)
	}
	w.log = append(w.log, fmt.Sprintf("whole %d", m.serial))
	j := Accept()
	if w.judge != nil {
		j = w.judge(c, m)
	}
	if j.verdict == accepted {
		w.held[c.Name] = m
	}
	return j
}

func (w *zoneOwner) increment(_ context.Context, i *Increment) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf("increment %d %d", i.Delta.From, i.Delta.To))
	if w.apply != nil {
		if err := w.apply(i); err != nil {
			return err
		}
	}
	old := w.held[i.Name]
	if old == nil || old.serial != i.Delta.From {
		return ErrUnfit
	}
	next := &zoneModel{serial: old.serial, lines: maps.Clone(old.lines)}
	if err := next.apply(i.Delta); err != nil {
		return fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	if err := i.Commit(); err != nil {
		return err
	}
	w.held[i.Name] = next
	return nil
}

func (m *zoneModel) apply(d Delta) error {
	if d.From != m.serial {
		return errors.New("from another serial")
	}
	for rr := range d.Removed.All() {
		if !m.lines[string(rr)] {
			return fmt.Errorf("%q is removed and not there", rr)
		}
		delete(m.lines, string(rr))
	}
	for rr := range d.Added.All() {
		if m.lines[string(rr)] {
			return fmt.Errorf("%q is added and there", rr)
		}
		m.lines[string(rr)] = true
	}
	m.serial = d.To
	return nil
}

// readModel reads a master file with the library.
func readModel(text []byte) (*zoneModel, error) {
	m := &zoneModel{lines: map[string]bool{}}
	p := dns.NewZoneParser(bytes.NewReader(text), "", "")
	first := true
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		soa, isSOA := rr.(*dns.SOA)
		if isSOA != first {
			return nil, fmt.Errorf("SOA not first or twice: %s", rr)
		}
		first = false
		if isSOA {
			m.serial = soa.Serial
			continue
		}
		line := lineOf(rr)
		if m.lines[line] {
			return nil, fmt.Errorf("twice: %s", rr)
		}
		m.lines[line] = true
	}
	return m, p.Err()
}

// model is what is in force of a list.
func (w *zoneOwner) model(name string) *zoneModel {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.held[name]; m != nil {
		return &zoneModel{m.serial, maps.Clone(m.lines)}
	}
	return &zoneModel{}
}

func (w *zoneOwner) came() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

// status fails the test if there is no such zone.
func (w *zoneOwner) status(name string) ZoneStatus {
	w.t.Helper()
	s, ok := w.zones.Status(name)
	if !ok {
		w.t.Fatalf("no zone %s", name)
	}
	return s
}

// waitSerial waits until a serial is in force.
func (w *zoneOwner) waitSerial(name string, serial uint32) {
	w.t.Helper()
	until(w.t, 20*time.Second, fmt.Sprintf("serial %d in force", serial), func() bool {
		return w.model(name).serial == serial && w.status(name).Serial == serial
	})
}

// waitError waits until the last check of a zone failed with these words.
func (w *zoneOwner) waitError(name string, words ...string) {
	w.t.Helper()
	var last string
	defer func() {
		if w.t.Failed() {
			w.t.Logf("the error is %q", last)
		}
	}()
	until(w.t, 20*time.Second, fmt.Sprintf("an error with %q", words), func() bool {
		last = w.status(name).Error
		for _, word := range words {
			if !strings.Contains(last, word) {
				return false
			}
		}
		return true
	})
}

// checkDisk wants what lies on disk to be what is in force.
func (w *zoneOwner) checkDisk(name, source string) {
	w.t.Helper()
	m := readDisk(w.t, w.store, name, source)
	want := w.model(name)
	if m.serial != want.serial || !maps.Equal(m.lines, want.lines) {
		w.t.Fatalf("on disk is serial %d with %d records, in force %d with %d", m.serial, len(m.lines), want.serial, len(want.lines))
	}
}

// readDisk reads a zone's copy and its increments.
func readDisk(t testing.TB, s *Store, name, source string) *zoneModel {
	t.Helper()
	good := s.Entry(name, source).Good
	if good == nil {
		return &zoneModel{}
	}
	z, err := OpenZone(s, name, *good, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	m, err := readModel(text)
	if err != nil {
		t.Fatal(err)
	}
	if m.serial != z.Base {
		t.Fatalf("the text has serial %d, expected %d", m.serial, z.Base)
	}
	for d := range z.All() {
		if err := m.apply(d); err != nil {
			t.Fatal(err)
		}
	}
	if m.serial != z.Serial {
		t.Fatalf("serial %d after all increments, expected %d", m.serial, z.Serial)
	}
	if now := readText(t, s, name, *good); now.serial != m.serial || !maps.Equal(now.lines, m.lines) {
		t.Fatalf("the text after all increments has serial %d and %d records, expected %d and %d", now.serial, len(now.lines), m.serial, len(m.lines))
	}
	return m
}

// readText reads the text that a zone's copy and its increments make.
func readText(t testing.TB, s *Store, name string, c Copy) *zoneModel {
	t.Helper()
	z, err := OpenZone(s, name, c, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	in, err := z.Text()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(iotest.HalfReader(in))
	if err != nil {
		t.Fatal(err)
	}
	m, err := readModel(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// checkPrimary wants what is in force, and on disk, to be what BIND has.
func (w *zoneOwner) checkPrimary(b *bind, name, source, zone string) {
	w.t.Helper()
	lines, serial := b.zone(w.t, zone)
	m := w.model(name)
	if m.serial != serial || !maps.Equal(m.lines, lines) {
		w.t.Fatalf("in force is serial %d with %d records, the primary has %d with %d", m.serial, len(m.lines), serial, len(lines))
	}
	w.checkDisk(name, source)
}
