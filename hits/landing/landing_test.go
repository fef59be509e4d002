package landing

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sinkhole/hits"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestConnectionsAreJoinedToHits(t *testing.T) {
	t.Parallel()
	get := func(host string) string { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }
	listed := func(client netip.Addr, name string) []hits.Indicator {
		if client == netip.MustParseAddr("127.0.0.1") && name == "listed.example" {
			return []hits.Indicator{{Type: "domain-name", Name: "listed.example", List: "c2", Family: "Vidar", Confidence: -1}}
		}
		return nil
	}
	for name, c := range map[string]struct {
		hit          func(*rig)
		send         string
		joined, name string
		noise        bool
		family       string
	}{
		"by name": {func(r *rig) { r.hit("127.0.0.1", "a.bad.example", func(h *hits.Hit) { h.Sink = netip.Addr{} }) }, get("A.bad.example:80"),
			hits.JoinedName, "a.bad.example", false, "Lumma Stealer"},
		"by address, another name": {func(r *rig) { r.hit("127.0.0.1", "a.bad.example", nil) }, get("127.0.0.1"), hits.JoinedAddress, "a.bad.example", false, "Lumma Stealer"},
		"by address, no name":      {func(r *rig) { r.hit("127.0.0.1", "a.bad.example", nil) }, "beacon", hits.JoinedAddress, "a.bad.example", false, "Lumma Stealer"},
		"by address, nothing sent": {func(r *rig) { r.hit("127.0.0.1", "a.bad.example", nil) }, "", hits.JoinedAddress, "a.bad.example", false, "Lumma Stealer"},
		"another address was given": {func(r *rig) {
			r.hit("127.0.0.1", "a.bad.example", func(h *hits.Hit) { h.Sink = netip.MustParseAddr("203.0.113.9") })
		}, "beacon", hits.JoinedNone, "", true, ""},
		"another client's hit":      {func(r *rig) { r.hit("192.0.2.7", "a.bad.example", nil) }, get("a.bad.example"), hits.JoinedNone, "", true, ""},
		"another client's, listed":  {func(r *rig) { r.hit("192.0.2.7", "listed.example", nil) }, get("listed.example"), hits.JoinedNone, "", false, "Vidar"},
		"no hit, listed":            {func(*rig) {}, get("Listed.Example"), hits.JoinedNone, "", false, "Vidar"},
		"no hit":                    {func(*rig) {}, get("other.example"), hits.JoinedNone, "", true, ""},
		"a forwarder's, by name":    {func(r *rig) { r.hit("192.0.2.53", "a.bad.example", func(h *hits.Hit) { h.Forwarder = true }) }, get("a.bad.example"), hits.JoinedName, "a.bad.example", false, "Lumma Stealer"},
		"a forwarder's, by address": {func(r *rig) { r.hit("127.0.0.1", "a.bad.example", func(h *hits.Hit) { h.Forwarder = true }) }, "beacon", hits.JoinedNone, "", true, ""},
		"told by EDNS, by name": {func(r *rig) {
			r.hit("192.0.2.53", "a.bad.example", func(h *hits.Hit) { h.Identity = &hits.Identity{Source: 65001, MAC: [6]byte{0, 0, 0x5e, 0, 0x53, 1}} })
		}, get("a.bad.example"), hits.JoinedName, "a.bad.example", false, "Lumma Stealer"},
		"too long ago":              {func(r *rig) { r.hitAt(time.Now().Add(-window-time.Minute), "a.bad.example") }, "beacon", hits.JoinedNone, "", true, ""},
		"just within the window":    {func(r *rig) { r.hitAt(time.Now().Add(-window+time.Minute), "a.bad.example") }, "beacon", hits.JoinedAddress, "a.bad.example", false, "Lumma Stealer"},
		"later than the connection": {func(r *rig) { r.hitAt(time.Now().Add(time.Hour), "a.bad.example") }, "beacon", hits.JoinedNone, "", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(l *Landing) { l.o.Listed = listed })
			c.hit(r)
			r.send(c.send)
			x := r.one()
			check(t, "joined", x.Sinkhole.Joined, c.joined)
			check(t, "name", x.DNS.Question.Name, c.name)
			check(t, "noise", x.Sinkhole.Noise, c.noise)
			check(t, "families", strings.Join(x.Sinkhole.Families, ","), c.family)
			check(t, "family", x.Threat.Software.Name, c.family)
			check(t, "kind", x.Event.Kind, map[bool]string{false: "alert", true: "event"}[c.noise])
			id := ""
			if c.joined != hits.JoinedNone {
				id = r.hitID()
				h := r.hits()[0]
				check(t, "lists", x.Sinkhole.Lists, h.Sinkhole.Lists)
				check(t, "threat", x.Threat, h.Threat)
			}
			check(t, "hit", x.Sinkhole.HitID, id)
		})
	}
}

func (r *rig) hitAt(at time.Time, name string) {
	r.t.Helper()
	h := &hits.Hit{Time: at, Client: netip.MustParseAddrPort("127.0.0.1:40111"), Answered: true, Action: "sinkhole", Sink: netip.MustParseAddr("127.0.0.1"), NRules: 1, Evidence: policy{}}
	h.QNameLen = uint8(copy(h.QName[:], wire(name)))
	r.queue.Record(h)
	eventually(r.t, "the hit is written", func() bool { return r.journal.Stats().Journaled > 0 })
}

func (r *rig) hits() (all []*hits.Record) {
	r.t.Helper()
	if err := hits.Read(r.t.Context(), r.dir, hits.Filter{Dataset: hits.DatasetHit}, func(x *hits.Record) error { all = append(all, x); return nil }); err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *rig) hitID() string { return r.hits()[0].Event.ID }

// A connection may reach the ledger before its hit reaches the journal's file.
func TestHitThatIsWrittenLaterIsJoined(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(l *Landing) { l.ledger.wait = settleAfter })
	asked := time.Now()
	r.send("beacon")
	eventually(t, "the connection waits", func() bool { return r.Stats().Waiting == 1 })
	r.hitAt(asked, "a.bad.example")
	x := r.one()
	check(t, "joined", x.Sinkhole.Joined, hits.JoinedAddress)
}

func TestHitsOfAnEarlierRunAreJoined(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.hitAt(time.Now(), "a.bad.example")
	r.close()
	again := New(Options{Journal: r.dir, Record: func(c *hits.Connection) { r.journal.RecordConnection(c) }})
	var err error
	if r.journal, err = hits.Open(hits.Options{Dir: r.dir}); err != nil {
		t.Fatal(err)
	}
	r.Landing = again
	if r.at, err = r.Listen(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	r.Serve()
	r.send("beacon")
	check(t, "joined", r.one().Sinkhole.Joined, hits.JoinedAddress)
}

func TestVeiledClientsAreJoined(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]*hits.Veil{"truncated": hits.Truncated(), "pseudonym": hits.Pseudonymous(make([]byte, 32))} {
		r := newRig(t, func(l *Landing) { l.o.Veil = v })
		r.hit("127.0.0.1", "a.bad.example", nil)
		r.send("beacon")
		x := r.one()
		check(t, name+": joined", x.Sinkhole.Joined, hits.JoinedAddress)
		check(t, name+": client", x.Client.IP, v.Addr(netip.MustParseAddr("127.0.0.1")))
	}
}

func TestMarksOfClients(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(l *Landing) {
		l.o.Marks = func(a netip.Addr) (bool, bool, bool) { return a.IsLoopback(), a.IsLoopback(), true }
	})
	r.send("beacon")
	x := r.one()
	check(t, "expected", x.Sinkhole.Expected, true)
	check(t, "forwarder", x.Sinkhole.Forwarder, true)
}

func TestTLSClientIsRecordedAndClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.hit("127.0.0.1", "a.bad.example", nil)
	c := r.dial()
	err := tls.Client(c, &tls.Config{ServerName: "a.bad.example", NextProtos: []string{"h2", "http/1.1"}}).Handshake()
	if err == nil {
		t.Fatal("the handshake came to an end without a certificate")
	}
	x := r.one()
	check(t, "protocol", x.Network.Protocol, "tls")
	check(t, "evidence", x.Sinkhole.Evidence, hits.EvidenceConnected)
	check(t, "joined", x.Sinkhole.Joined, hits.JoinedName)
	check(t, "server name", x.TLS.Client.ServerName, "a.bad.example")
	check(t, "ALPN", x.TLS.Client.SupportedProtocols, []string{"h2", "http/1.1"})
	if !strings.HasPrefix(x.TLS.Client.JA4, "t13d") || !strings.Contains(x.TLS.Client.JA4, "h2_") {
		t.Errorf("JA4: found %q", x.TLS.Client.JA4)
	}
}

func selfSigned(t testing.TB) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"landing.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
	}
}

func TestTLSClientGetsTheNoticeWhereThereIsACertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(l *Landing) { l.o.Certificate = selfSigned(t) })
	c := tls.Client(r.dial(), &tls.Config{ServerName: "bad.example", InsecureSkipVerify: true})
	const request = "POST /up HTTP/1.1\r\nHost: bad.example\r\nContent-Length: 6\r\n\r\nstolen"
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 403 ") {
		t.Errorf("found %.80q, %v", answer, err)
	}
	c.Close()
	x := r.one()
	check(t, "protocol", x.Network.Protocol, "tls")
	check(t, "evidence", x.Sinkhole.Evidence, hits.EvidenceSent)
	check(t, "path", x.URL.Path, "/up")
	check(t, "bytes", x.Sinkhole.Bytes, len(request))
	check(t, "hash", x.Sinkhole.FirstSHA256, hexSum(request))
}

// A client that does not trust the certificate has connected, and sent nothing.
func TestTLSClientThatDoesNotTrustUs(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(l *Landing) { l.o.Certificate = selfSigned(t) })
	if tls.Client(r.dial(), &tls.Config{ServerName: "bad.example"}).Handshake() == nil {
		t.Fatal("trusted")
	}
	x := r.one()
	check(t, "evidence", x.Sinkhole.Evidence, hits.EvidenceConnected)
	check(t, "server name", x.TLS.Client.ServerName, "bad.example")
}

func TestOctetsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.dial()
	block := bytes.Repeat([]byte{1}, 32<<10)
	for range 100 { // the kernel's buffers take some
		if _, err := c.Write(block); err != nil {
			break
		}
	}
	x := r.one()
	check(t, "bytes", x.Sinkhole.Bytes, maxOctets)
	check(t, "hash", x.Sinkhole.FirstSHA256, hexSum(strings.Repeat("\x01", firstOctets)))
}

// Whoever sends an octet now and then is cut off when the time of the connection is over,
// also within a ClientHello, a request or a body.
func TestSlowSendersAreCutOff(t *testing.T) {
	t.Parallel()
	hello := string(chrome().pack(t, 1))
	for name, c := range map[string]struct{ text, protocol string }{
		"silence":       {"", "tcp"},
		"a ClientHello": {hello, "tcp"},
		"a request":     {"GET / HTTP/1.1\r\nHost: bad.example\r\nX-Long: " + strings.Repeat("x", 5000), "tcp"},
		"a body":        {"POST / HTTP/1.1\r\nHost: bad.example\r\nContent-Length: 9999\r\n\r\n" + strings.Repeat("x", 5000), "http"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(l *Landing) { l.whole = 300 * time.Millisecond })
			conn := r.dial()
			started := time.Now()
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				_, _ = io.Copy(io.Discard, conn)
			}()
			rest := c.text
			if name == "a body" {
				head, _, _ := strings.Cut(rest, "\r\n\r\n")
				_, _ = io.WriteString(conn, head+"\r\n\r\n")
				rest = rest[len(head)+4:]
			}
			for ticker := time.Tick(5 * time.Millisecond); ; {
				select {
				case <-gone:
					if took := time.Since(started); took > 5*time.Second {
						t.Errorf("cut off after %v", took)
					}
					check(t, "protocol", r.one().Network.Protocol, c.protocol)
					return
				case <-ticker:
					if rest != "" {
						_, _ = io.WriteString(conn, rest[:1])
						rest = rest[1:]
					}
				}
			}
		})
	}
}

func TestConnectionsOfOneClientAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var held []net.Conn
	for range maxOfClient {
		held = append(held, r.dial())
	}
	eventually(t, "all are open", func() bool { return r.Stats().Open == maxOfClient })
	if r.served() {
		t.Error("one more was served")
	}
	check(t, "refused", r.Stats().RefusedOfClient, 1)
	held[0].Close()
	eventually(t, "there is room", func() bool { return r.Stats().Open == maxOfClient-1 })
	if got := r.send("GET / HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("found %.40q", got)
	}
	r.close()
}

func TestConnectionsInAllAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(l *Landing) { l.gate.max = 1 })
	r.dial()
	eventually(t, "one is open", func() bool { return r.Stats().Open == 1 })
	if r.served() {
		t.Error("one more was served")
	}
	check(t, "refused", r.Stats().RefusedInAll, 1)
	if len(r.gate.clients) != 1 {
		t.Error("the gate holds on to who was refused")
	}
}

func TestNeighboursInOneNetworkAreOneClient(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{{"2001:db8::1", "2001:db8::2", "yes"}, {"2001:db8:0:1::1", "2001:db8::1", "no"}, {"192.0.2.1", "192.0.2.2", "no"}} {
		if same := clientOf(netip.MustParseAddr(c[0])) == clientOf(netip.MustParseAddr(c[1])); same != (c[2] == "yes") {
			t.Errorf("%v: found %v", c, same)
		}
	}
}

func TestAlikeConnectionsShareARecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(l *Landing) { l.ledger.wait = settleAfter })
	const n = 50
	for range n {
		r.send("beacon")
	}
	r.send("another")
	all := r.close()
	var connections, octets uint64
	for _, x := range all {
		connections += x.Sinkhole.Connections
		octets += x.Sinkhole.Bytes
	}
	check(t, "connections", connections, n+1)
	check(t, "octets", octets, n*len("beacon")+len("another"))
	if len(all) > 10 {
		t.Errorf("found %d records of %d connections", len(all), n+1)
	}
	if i := slices.IndexFunc(all, func(x *hits.Record) bool { return x.Sinkhole.Connections > 1 }); i < 0 || !all[i].Event.End.After(all[i].Event.Start) {
		t.Error("no record tells from when to when")
	}
}

func TestRecordsOfOneClientAreBounded(t *testing.T) {
	t.Parallel()
	var recorded int
	b := newLedger(&Options{Record: func(*hits.Connection) { recorded++ }}, new(counters))
	now := time.Now()
	for i := range 2 * maxWaitingOfClient {
		b.add(&hits.Connection{Time: now, Count: 1, Client: netip.MustParseAddrPort("192.0.2.7:1"), Path: strings.Repeat("x", i)})
	}
	b.add(&hits.Connection{Time: now, Count: 1, Client: netip.MustParseAddrPort("192.0.2.8:1")})
	check(t, "unrecorded", b.count.unrecorded.Load(), maxWaitingOfClient)
	for i := range 2 * maxWaiting {
		b.add(&hits.Connection{Time: now, Count: 1, Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)})
	}
	check(t, "waiting", b.count.waiting.Load(), maxWaiting)
	for _, e := range b.due(now, true) {
		b.settle(e.Connection)
	}
	check(t, "recorded", recorded, maxWaiting)
	if len(b.alike)+len(b.ofClient)+len(b.queue) != 0 {
		t.Error("what was handed on is held on to")
	}
}

func TestIndexIsBounded(t *testing.T) {
	t.Parallel()
	x := newIndex(new(counters), nil)
	now := time.Now()
	l := &hitLine{Time: now}
	l.Event.ID, l.DNS.Question.Name, l.Sinkhole.Address = "id", "bad.example", netip.MustParseAddr("203.0.113.1")
	for i := range 5 * maxIndexed {
		l.Client.IP = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		x.add(l, now)
	}
	if n := x.count.indexed.Load(); n > 4*maxIndexed || n < 2*maxIndexed {
		t.Errorf("found %d entries", n)
	}
	if x.count.forgotten.Load() == 0 {
		t.Error("nothing was counted as forgotten")
	}
	if _, joined := x.find(l.Client.IP, l.Sinkhole.Address, false, now, "bad.example"); joined != hits.JoinedName {
		t.Error("the latest hit is not found")
	}
	x.add(l, now.Add(window+time.Second))
	before := x.count.forgotten.Load()
	x.add(l, now.Add(3*window))
	check(t, "forgotten of what was too old", x.count.forgotten.Load(), before)
}

func TestFaultEndsItsConnectionOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(l *Landing) { l.o.Notice = nil }) // as no program has it
	if got := r.send("GET / HTTP/1.0\r\n\r\n"); got != "" {
		t.Errorf("answered %q", got)
	}
	r.send("beacon")
	check(t, "faults", r.Stats().Faults, 1)
	check(t, "bytes", r.one().Sinkhole.Bytes, len("beacon"))
}

// A stop records what is open, in little time.
func TestCloseRecordsOpenConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.dial()
	_, _ = io.WriteString(c, "half")
	eventually(t, "it is open", func() bool { return r.Stats().Open == 1 })
	started := time.Now()
	all := r.close()
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if len(all) != 1 {
		t.Fatalf("found %d records, expected 1", len(all))
	}
	if _, err := net.Dial("tcp", r.at.String()); err == nil {
		t.Error("still listening")
	}
	r.Landing.Close(context.Background()) // twice is once
}
