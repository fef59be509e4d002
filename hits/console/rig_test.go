package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"sinkhole/hits"
	"sinkhole/hits/inventory"
)

// markup is what a name, a family or a user agent may hold to be rendered.
const markup = "\u202e" + `<script>alert(1)</script><img src=x onerror=alert(2)>`

// policy has the indicators of the test's hits.
type policy struct{}

var testFamilies = []string{"Lumma Stealer", "RedLine", "Vidar" + markup}

func (policy) Indicator(rule uint64) hits.Indicator {
	return hits.Indicator{
		Type: "domain-name", Name: fmt.Sprintf("c%d.example", rule), Scope: "subtree", List: "police", File: "police.csv", Line: int(rule) + 1,
		Family: testFamilies[rule%3], Confidence: 90, Reference: "https://ref.example/" + markup,
	}
}

func wireName(labels ...string) (w []byte) {
	for _, l := range labels {
		w = append(append(w, byte(len(l))), l...)
	}
	return append(w, 0)
}

// rig is a site over a real journal and a real inventory.
type rig struct {
	t       testing.TB
	dir     string
	journal *hits.Journal
	queue   *hits.Queue
	site    *Site
	server  *Server

	mu      sync.Mutex
	allowed []Allowed
	done    []string // calls that change something
	audits  error    // what Audit says
}

func newRig(t testing.TB, mod func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.write()
	var err error
	if r.journal, err = hits.Open(hits.Options{Dir: filepath.Join(r.dir, "hits"), Observer: hits.Observer{Name: "test"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.journal.Close(context.Background()) })
	r.queue = r.journal.NewQueue(1)
	r.fill()
	r.site = r.newSite()
	o := Options{
		Addr: netip.MustParseAddrPort("127.0.0.1:0"), Logger: zap.NewNop(), Ready: func() error { return nil }, Site: r.site,
	}
	if mod != nil {
		mod(&o)
	}
	if r.server, err = Listen(o); err != nil {
		t.Fatal(err)
	}
	go r.server.Serve()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.server.Shutdown(ctx)
	})
	return r
}

// write puts a connection to the sinkhole address into the journal, which goes on behind it.
func (r *rig) write() {
	at := time.Now().Add(-90 * time.Minute).UTC().Format("2006-01-02T15:04:05.000000000Z")
	line := `{"@timestamp":"` + at + `","ecs":{"version":"9.4.0"},"event":{"kind":"alert","category":["network"],"type":["connection"],"action":"connection","outcome":"success","id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","sequence":1,"dataset":"sinkhole.landing"},` +
		`"client":{"ip":"192.0.2.3","port":50000},"destination":{"ip":"203.0.113.1","port":80},"observer":{"name":"test","type":"dns-sinkhole"},"network":{"transport":"tcp","protocol":"http","type":"ipv4"},` +
		`"http":{"request":{"method":"POST"},"version":"1.1"},"url":{"domain":"c0.example","path":"/gate.php"},"user_agent":{"original":"Mozilla ` + markup + `"},` +
		`"dns":{"question":{"name":"c0.example"}},"sinkhole":{"evidence":"sent","joined":"name","noise":false,"bytes":512,"families":["Lumma Stealer"],"lists":[{"name":"police"}]}}` + "\n"
	dir := filepath.Join(r.dir, "hits")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "hits-0000000001-"+time.Now().UTC().Format("20060102T150405Z")+".jsonl"), []byte(line), 0o644)); err != nil {
		r.t.Fatal(err)
	}
}

// fill records hits of five machines in the last hours, one of a MAC address and one of a
// forwarder beside them, and reads them into the inventory.
func (r *rig) fill() {
	now := time.Now()
	for i := range 40 {
		client := 1 + i%5
		r.record(now.Add(-time.Duration(i)*20*time.Minute), fmt.Sprintf("192.0.2.%d", client), uint64(i%4), nil)
	}
	r.record(now, "192.0.2.9", 1, func(h *hits.Hit) {
		h.Client = netip.AddrPortFrom(h.Client.Addr(), 0)
		h.Identity = &hits.Identity{MAC: [6]byte{0, 0, 0x5e, 0, 0x53, 0x23}, Addr: h.Client.Addr()}
	})
	r.record(now, "192.0.2.20", 2, func(h *hits.Hit) { h.Forwarder = true })
	r.feed()
}

func (r *rig) record(at time.Time, client string, rule uint64, mod func(*hits.Hit)) {
	h := &hits.Hit{
		Time: at, Client: netip.AddrPortFrom(netip.MustParseAddr(client), 40111), Server: netip.MustParseAddrPort("198.51.100.53:53"),
		QType: 1, QClass: 1, Answered: true, NRules: 1, Evidence: policy{}, Rules: [hits.MaxRules]uint64{rule}, Action: "sinkhole",
	}
	h.QNameLen = uint8(copy(h.QName[:], wireName("a<b>", fmt.Sprintf("c%d", rule), "example")))
	if mod != nil {
		mod(h)
	}
	before := r.journal.Stats().Journaled
	r.queue.Record(h)
	eventually(r.t, "the hit is in the journal", func() bool { return r.journal.Stats().Journaled > before })
}

func (r *rig) feed() {
	x := inventory.New(inventory.Options{Path: filepath.Join(r.dir, "inventory.db"), Journal: filepath.Join(r.dir, "hits")})
	defer x.Close()
	if err := x.CatchUp(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) newSite() *Site {
	lists := []List{
		{Name: "police", Source: "police.csv", State: "ok", Entries: 4, InForce: 4, Tried: "2026-02-01T03:04:05Z", Loaded: "2026-02-01T03:04:05Z", Warnings: []string{}, LeftOut: []LeftOut{{Kind: "held", Text: "big.example", Reason: "popular " + markup, File: "police.csv", Line: 9}}},
		{Name: "feed", Source: "https://feed.example/" + markup, State: "held", Held: "shrank from 9 to 1 entries", HeldVersion: "sha256:0123456789abcdef0123456789abcdef", Error: markup, Warnings: []string{markup}, LeftOut: []LeftOut{}},
	}
	note := func(text string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.done = append(r.done, text)
	}
	return &Site{
		Started: func() bool { return true }, Name: "resolver-1", Version: "test", Journal: filepath.Join(r.dir, "hits"),
		Inventory: func(ctx context.Context) (*inventory.Reader, error) {
			return inventory.OpenReader(ctx, filepath.Join(r.dir, "inventory.db"))
		},
		WhoIs: func(c hits.Client) hits.Who {
			if c.Addr == netip.MustParseAddr("192.0.2.2") {
				return hits.Who{Name: "pc-" + markup, Owner: "Alice", Site: "Delft"}
			}
			return hits.Who{}
		},
		Lists: func() []List { return slices.Clone(lists) },
		Resolver: func() Resolver {
			return Resolver{Indicators: 4, Queries: 100, Hits: 42, Upstreams: []Upstream{{Server: "192.0.2.53:53", Healthy: true, Replies: 7}}}
		},
		Judge: func(name, qtype, client string) (*Verdict, error) {
			if strings.Contains(name, "/") {
				return nil, errors.New("found " + name + ", expected a domain name or an IP address")
			}
			ninety := 90
			v := &Verdict{Query: name, Type: "A", Client: client, Indicators: []ListedEntry{}, KeptOut: []KeptOutOfLists{}, Verdict: "none"}
			if strings.HasSuffix(name, "c0.example") {
				v.Listed, v.Verdict, v.Answer = true, "sinkhole", "A 203.0.113.1"
				v.Indicators = append(v.Indicators, ListedEntry{Indicator: "c0.example", List: "police", Family: testFamilies[2], Confidence: &ninety})
			}
			return v, nil
		},
		Refresh: func(_ context.Context, list string) (List, error) {
			note("refresh " + list)
			if list == "feed" {
				return List{}, errors.New("the source is away")
			}
			return lists[0], nil
		},
		Approve: func(user, list, version string, entries []string) error {
			note(fmt.Sprintf("approve %s %s %s %v", user, list, version, entries))
			return nil
		},
		Allowed: func() ([]Allowed, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return append([]Allowed{}, r.allowed...), nil
		},
		Allow: func(_ context.Context, user, entry, comment string) (string, error) {
			if entry == "com" {
				return "", errors.New("found com")
			}
			note("allow " + user + " " + entry)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.allowed = append(r.allowed, Allowed{Entry: entry, By: user, At: "2026-02-01T03:04:05Z", Comment: comment})
			return entry, nil
		},
		Disallow: func(_ context.Context, entry string) error {
			note("disallow " + entry)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.allowed = slices.DeleteFunc(r.allowed, func(a Allowed) bool { return a.Entry == entry })
			return nil
		},
		Audit: func(a hits.Audit) error {
			if r.audits != nil {
				return r.audits
			}
			return r.journal.Audit(a)
		},
		Background: func(work func()) { work() },
	}
}

// request is one to the rig's server, without following redirects.
func (r *rig) request(method, path, body string, header ...string) *http.Response {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), method, fmt.Sprintf("http://%s%s", r.server.Addr(), path), strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			q.Host = header[i+1]
		}
		q.Header.Set(header[i], header[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a, err := client.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { a.Body.Close() })
	return a
}

// answer is the status and the body of a request.
func (r *rig) answer(method, path, body string, header ...string) (int, string) {
	r.t.Helper()
	a := r.request(method, path, body, header...)
	text, err := io.ReadAll(a.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return a.StatusCode, string(text)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// audited are the audit records: who did what to what, and how it ended.
func (r *rig) audited() (all []string) {
	r.t.Helper()
	err := hits.Read(r.t.Context(), r.site.Journal, hits.Filter{Audit: true, Only: func(x *hits.Record) bool { return x.Event.Dataset == hits.DatasetAudit }}, func(x *hits.Record) error {
		all = append(all, strings.Join([]string{x.User.Name, x.Event.Action, x.Sinkhole.Object, x.Event.Outcome}, " "))
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}
