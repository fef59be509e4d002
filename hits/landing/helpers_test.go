package landing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"sinkhole/hits"
)

func require() bool { return os.Getenv("SINKHOLE_REQUIRE_TOOLS") == "1" }

// rig is a landing with a journal that hits are written to.
type rig struct {
	*Landing
	t       testing.TB
	dir     string
	journal *hits.Journal
	queue   *hits.Queue
	at      netip.AddrPort
}

func newRig(t testing.TB, mod func(*Landing)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	o := Options{Journal: r.dir, Logger: zaptest.NewLogger(t), Record: func(c *hits.Connection) { r.journal.RecordConnection(c) }}
	r.Landing = New(o)
	r.ledger.wait = 100 * time.Millisecond // hits are waited for where there are any
	if mod != nil {
		mod(r.Landing)
	}
	var err error
	if r.journal, err = hits.Open(hits.Options{Dir: r.dir, Veil: r.o.Veil}); err != nil {
		t.Fatal(err)
	}
	r.queue = r.journal.NewQueue(1)
	if r.at, err = r.Listen(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	r.Serve()
	t.Cleanup(func() { r.close() })
	return r
}

// close gives all records that were written.
func (r *rig) close() []*hits.Record {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r.Landing.Close(ctx)
	if err := r.journal.Close(ctx); err != nil {
		r.t.Error(err)
	}
	s := r.Stats()
	if s.Open != 0 || s.Waiting != 0 || s.Accepted != s.RefusedOfClient+s.RefusedInAll+s.Own+s.Name+s.Address+s.Listed+s.Noise+s.Unrecorded+s.Faults {
		r.t.Errorf("connections are not accounted for: %+v", s)
	}
	return r.landings()
}

func (r *rig) landings() (all []*hits.Record) {
	r.t.Helper()
	f := hits.Filter{Dataset: hits.DatasetLanding, Noise: true}
	if err := hits.Read(context.Background(), r.dir, f, func(x *hits.Record) error { all = append(all, x); return nil }); err != nil {
		r.t.Fatal(err)
	}
	return all
}

// one is the record of the only connection.
func (r *rig) one() *hits.Record {
	r.t.Helper()
	var all []*hits.Record
	eventually(r.t, "a record", func() bool { all = r.landings(); return len(all) > 0 })
	if len(all) != 1 {
		r.t.Fatalf("found %d records, expected 1", len(all))
	}
	return all[0]
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.at.String())
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	r.t.Cleanup(func() { c.Close() })
	return c
}

// served tells whether a further connection is; one that is closed at once may be so before
// Dial has seen it open.
func (r *rig) served() bool {
	r.t.Helper()
	c, err := net.Dial("tcp", r.at.String())
	if errors.Is(err, syscall.ECONNRESET) {
		return false
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err == nil
}

// send sends a text, closes that direction, and gives what comes back.
func (r *rig) send(text string) string {
	r.t.Helper()
	c := r.dial()
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		r.t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(got)
}

// hit records a hit on a name, as if a client had asked for it.
func (r *rig) hit(client, name string, mod func(*hits.Hit)) {
	r.t.Helper()
	h := &hits.Hit{
		Time: time.Now(), Client: netip.AddrPortFrom(netip.MustParseAddr(client), 40111), Server: netip.MustParseAddrPort("127.0.0.1:53"),
		QType: 1, QClass: 1, Answered: true, Action: "sinkhole", Sink: netip.MustParseAddr("127.0.0.1"), NRules: 1, Evidence: policy{},
	}
	h.QNameLen = uint8(copy(h.QName[:], wire(name)))
	if mod != nil {
		mod(h)
	}
	r.queue.Record(h)
	eventually(r.t, "the hit is indexed", func() bool { return r.Stats().Indexed > 0 })
}

func wire(name string) (w []byte) {
	for start, i := 0, 0; i <= len(name); i++ {
		if i == len(name) || name[i] == '.' {
			w = append(append(w, byte(i-start)), name[start:i]...)
			start = i + 1
		}
	}
	return append(w, 0)
}

// policy is what hits are by.
type policy struct{}

func (policy) Indicator(uint64) hits.Indicator {
	return hits.Indicator{
		Type: "domain-name", Name: "bad.example", Scope: "subtree", List: "c2", ListVersion: "sha256:1", File: "c2.txt", Line: 7,
		Family: "Lumma Stealer", Confidence: 80, Reference: "https://intel.example/1", TLP: "amber",
	}
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func check(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: found %s, expected %s", what, g, w)
	}
}
