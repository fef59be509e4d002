package hits

import (
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func testConnection(mod func(*Connection)) *Connection {
	c := &Connection{
		Time: testTime, Last: testTime.Add(time.Second),
		Client:      netip.MustParseAddrPort("192.0.2.7:50111"),
		Destination: netip.MustParseAddrPort("203.0.113.1:80"),
		Protocol:    "http", Evidence: EvidenceSent, Bytes: 120, First: sha256.Sum256([]byte("first")),
		Method: "GET", Referrer: "http://a.bad.example/", Version: "1.1", Host: "a.bad.example", Path: "/gate.php", UserAgent: "curl/8",
		Query: sha256.Sum256([]byte("id=1")), HasQuery: true,
		ServerName: "a.bad.example", ALPN: []string{"h2", "http/1.1"}, JA4: "t13d1516h2_8daaf6152771_e5627efa2ab1",
		Joined: JoinedName, HitID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Name: "a.bad.example",
		Indicators: []Indicator{fullPolicy.indicators[0], fullPolicy.indicators[1]},
	}
	if mod != nil {
		mod(c)
	}
	return c
}

func checkConnections(t testing.TB, s Stats) {
	t.Helper()
	if s.Connections != s.ConnectionsJournaled+s.ConnectionsQueued+s.ConnectionsLost {
		t.Errorf("connections %d != journaled %d + queued %d + lost %d", s.Connections, s.ConnectionsJournaled, s.ConnectionsQueued, s.ConnectionsLost)
	}
}

func TestConnectionIsReadAsItWasRecorded(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	j.RecordConnection(testConnection(func(c *Connection) { c.Payload = []byte("GET /") }))
	closeJournal(t, j)
	checkAccount(t, j.Stats())
	checkConnections(t, j.Stats())
	if s := j.Stats(); s.ConnectionsJournaled != 1 || s.Verdicts != 0 {
		t.Errorf("found %d connections and %d hits, expected 1 and 0", s.ConnectionsJournaled, s.Verdicts)
	}
	all := readAll(t, dir, Filter{})
	if len(all) != 1 {
		t.Fatalf("found %d records, expected 1", len(all))
	}
	r := all[0]
	for what, pair := range map[string][2]any{
		"time":        {r.Time, testTime},
		"dataset":     {r.Event.Dataset, DatasetLanding},
		"kind":        {r.Event.Kind, "alert"},
		"client":      {r.Client, Endpoint{IP: netip.MustParseAddr("192.0.2.7"), Port: 50111}},
		"destination": {r.Destination, RecordServer{netip.MustParseAddr("203.0.113.1"), 80}},
		"protocol":    {r.Network.Protocol, "http"},
		"method":      {r.HTTP.Request.Method, "GET"},
		"domain":      {r.URL.Domain, "a.bad.example"},
		"path":        {r.URL.Path, "/gate.php"},
		"agent":       {r.UserAgent.Original, "curl/8"},
		"JA4":         {r.TLS.Client.JA4, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		"ALPN":        {strings.Join(r.TLS.Client.SupportedProtocols, " "), "h2 http/1.1"},
		"name":        {r.DNS.Question.Name, "a.bad.example"},
		"evidence":    {r.Sinkhole.Evidence, EvidenceSent},
		"joined":      {r.Sinkhole.Joined, JoinedName},
		"hit":         {r.Sinkhole.HitID, "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
		"bytes":       {r.Sinkhole.Bytes, uint64(120)},
		"connections": {r.Sinkhole.Connections, uint64(1)},
		"hits":        {r.Sinkhole.Count, uint64(0)},
		"payload":     {string(r.Sinkhole.Payload), "GET /"},
		"indicator":   {r.Threat.Indicator.Name, fullPolicy.indicators[0].Name},
		"indicators":  {len(r.Sinkhole.Indicators), 2},
		"proven":      {r.Sinkhole.SourceProven, true},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: found %v, expected %v", what, pair[0], pair[1])
		}
	}
}

// What a scanner sends must not act in a terminal, nor break a line.
func TestConnectionsLineIsPrintableWhateverWasSent(t *testing.T) {
	evil := "\x1b[2J\u202e\n\"\\\x00\xff"
	line := newEncoder(testObserver, 0, nil).appendConnection(nil, testConnection(func(c *Connection) {
		c.Method, c.Referrer, c.Host, c.Path, c.UserAgent, c.ServerName, c.ALPN = evil, evil, evil, evil, evil, evil, []string{evil}
	}), testTime)
	if !json.Valid(line) {
		t.Errorf("not JSON: %q", line)
	}
	for _, c := range string(line[:len(line)-1]) {
		if c < ' ' || c == 0x7f || c == 0x202e {
			t.Fatalf("found %q in %q", c, line)
		}
	}
}

func TestVeilHidesTheClientOfAConnection(t *testing.T) {
	for name, v := range map[string]*Veil{"truncated": Truncated(), "pseudonym": Pseudonymous(make([]byte, 32))} {
		line := newEncoder(testObserver, 0, v).appendConnection(nil, testConnection(func(c *Connection) {
			c.Indicators = []Indicator{{Type: "ipv4-addr", Name: "192.0.2.7", Confidence: -1}}
		}), testTime)
		if strings.Contains(string(line), "192.0.2.7") {
			t.Errorf("%s: the client is in %s", name, line)
		}
		r, err := ParseRecord(line)
		if err != nil || r.Client.IP != v.Addr(netip.MustParseAddr("192.0.2.7")) || r.Client.Port != 50111 {
			t.Errorf("%s: found %v, %v", name, r.Client, err)
		}
	}
}

// Recorded at once from many goroutines, and while the journal closes: each is journaled
// or lost, and the lines are as many as were journaled.
func TestConnectionsAreAccountedFor(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range maxConnections / 4 {
				j.RecordConnection(testConnection(nil))
				checkConnections(t, j.Stats())
			}
		})
	}
	closeJournal(t, j)
	all.Wait()
	j.RecordConnection(testConnection(nil))
	s := j.Stats()
	checkConnections(t, s)
	if s.Connections != 2*maxConnections+1 || s.ConnectionsQueued != 0 || s.ConnectionsLost == 0 {
		t.Errorf("found %+v", s)
	}
	if n := len(readAll(t, dir, Filter{})); n != int(s.ConnectionsJournaled) {
		t.Errorf("found %d lines, expected %d", n, s.ConnectionsJournaled)
	}
}

func TestQueueOfConnectionsIsBounded(t *testing.T) {
	q := connectionQueue{count: new(counters)}
	for range maxConnections {
		if !q.put(testConnection(nil)) {
			t.Fatal("refused below the bound")
		}
	}
	if q.put(testConnection(nil)) || q.count.landingsLost.Load() != 1 {
		t.Error("taken beyond the bound")
	}
	for n := 0; q.waiting(); n++ {
		if got := len(q.take()); got != landBatch {
			t.Fatalf("take %d gave %d", n, got)
		}
	}
}

// A gap in event.sequence is explained, whoever's lines are lost.
func TestLostConnectionsAreTold(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	j.count.landingsLost.Add(3)
	j.landings.recorded.Add(3)
	var lost *Record
	eventually(t, "a lost record", func() bool {
		for _, r := range readAll(t, dir, Filter{Journal: true}) {
			if r.Event.Action == actionLost {
				lost = r
			}
		}
		return lost != nil
	})
	if lost.Sinkhole.Lost != 0 || lost.Sinkhole.LostConnections != 3 || lost.Sinkhole.Journal.ConnectionsLost != 3 {
		t.Errorf("found %s", lost.Raw)
	}
	closeJournal(t, j)
	n := 0
	for _, r := range readAll(t, dir, Filter{Journal: true}) {
		if r.Event.Action == actionLost {
			n++
		}
		if r.Event.Action == actionStop && r.Event.Outcome != "failure" {
			t.Error("the stop tells of no loss")
		}
	}
	if n != 1 {
		t.Errorf("told %d times, expected once", n)
	}
}

func TestFailedWriteLosesConnections(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	closeJournal(t, j)
	w := &writer{j: j, enc: newEncoder(testObserver, 0, nil), merge: newMerger(1, time.Second),
		out: &output{opts: &j.opts, log: j.log, lock: j.lock, count: &j.count}}
	j.landings.closed = false
	j.RecordConnection(testConnection(nil))
	w.land(testTime)
	if s := j.Stats(); s.ConnectionsQueued != 1 {
		t.Errorf("found %d queued in the buffer, expected 1", s.ConnectionsQueued)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if w.flush(testTime) == nil {
		t.Fatal("written into a file that is no directory")
	}
	s := j.Stats()
	checkConnections(t, s)
	if s.ConnectionsLost != 1 {
		t.Errorf("found %d lost, expected 1", s.ConnectionsLost)
	}
}

func TestFilterChoosesAmongDatasets(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	j.NewQueue(1).Record(testHit(nil))
	j.RecordConnection(testConnection(nil))
	j.RecordConnection(testConnection(func(c *Connection) { c.Noise, c.Indicators = true, nil }))
	closeJournal(t, j)
	for name, c := range map[string]struct {
		filter Filter
		want   int
	}{
		"all but noise": {Filter{}, 2},
		"with noise":    {Filter{Noise: true}, 3},
		"hits":          {Filter{Dataset: DatasetHit, Noise: true}, 1},
		"landing":       {Filter{Dataset: DatasetLanding}, 1},
		"family":        {Filter{Family: fullPolicy.indicators[0].Family, Dataset: DatasetLanding, Noise: true}, 1},
		"client":        {Filter{Client: netip.MustParsePrefix("192.0.2.0/24"), Noise: true}, 3},
		"port":          {Filter{Port: 50111, Noise: true}, 2},
	} {
		if got := readAll(t, dir, c.filter); len(got) != c.want {
			t.Errorf("%s: found %d records, expected %d", name, len(got), c.want)
		}
	}
}
