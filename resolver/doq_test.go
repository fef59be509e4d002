package resolver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"sinkhole/blocklist/format"
	"sinkhole/resolver/wire"
)

// doqQuery is a query as DNS over QUIC wants it.
func doqQuery(t testing.TB, name string) []byte {
	msg := queryOf(t, name, dns.TypeA)
	wire.SetID(msg, 0)
	return msg
}

// What RFC 9250 calls a protocol error ends the connection with that code, and no
// other connection.
func TestDoQProtocolErrors(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	good := doqQuery(t, "bad.example.")
	keepalive := new(dns.Msg).SetQuestion("bad.example.", dns.TypeA)
	keepalive.Id = 0
	keepalive.SetEdns0(1232, false)
	keepalive.IsEdns0().Option = append(keepalive.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 3)}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})
	kept, err := keepalive.Pack()
	check(t, err)
	other := k.doq(t, "127.0.0.1")
	var violations uint64
	for what, octets := range map[string][]byte{
		"message ID":                framed(queryOf(t, "bad.example.", dns.TypeA)),
		"keepalive":                 framed(kept),
		"more than one query":       slices.Concat(framed(good), framed(good)),
		"ended before its query":    framed(good)[:20],
		"nothing":                   {},
		"one octet":                 {0},
		"length of 0":               {0, 0},
		"shorter than its header":   framed(good[:11]),
		"a response where":          framed(header(0, wire.QR, 1)),
		"longer length than octets": {0xFF, 0xFF, 1, 2, 3},
	} {
		c := k.doq(t, "127.0.0.1")
		_, err := exchangeDoQ(c, octets, true)
		if ended, ok := errors.AsType[*quic.ApplicationError](err); !ok || ended.ErrorCode != doqProtocolError || !ended.Remote {
			t.Errorf("%s: %v, expected the connection to end with DOQ_PROTOCOL_ERROR", what, err)
		}
		violations++
	}
	c := k.doq(t, "127.0.0.1")
	if s, err := c.OpenUniStream(); err == nil {
		_, _ = s.Write([]byte{1})
		t.Error("a client may open a unidirectional stream")
	}
	if got := k.Stats().Encrypted.Violated; got != violations {
		t.Errorf("%d violations counted, expected %d", got, violations)
	}
	if _, err := exchangeDoQ(other, framed(good), true); err != nil {
		t.Errorf("another connection: %v", err)
	}
}

// Many queries of one connection are answered at once, each on its stream, none behind
// one that waits.
func TestDoQQueriesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	z := newZone(t, trapZone+";! slow.example. A drop\nslow.example. A 192.0.2.9\n")
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), servers: []string{z.addr}, timeout: patience / 2})
	c := k.doq(t, "127.0.0.1")
	slow := make(chan error, 1)
	go func() {
		_, err := exchangeDoQ(c, framed(doqQuery(t, "slow.example.")), true)
		slow <- err
	}()
	eventually(t, "the slow query waits", func() bool { return k.Stats().Waiting > 0 })
	for range 3 * maxStreams {
		answer, err := exchangeDoQ(c, framed(doqQuery(t, "bad.example.")), true)
		check(t, err)
		if !bytes.Contains(answer, []byte{203, 0, 113, 1}) {
			t.Fatalf("answer %x", answer)
		}
	}
	select {
	case err := <-slow:
		t.Errorf("the slow query was answered first: %v", err)
	default:
	}
}

// Stalled streams are bounded for each connection and given up in time.
func TestDoQStalledStreams(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	c := k.doq(t, "127.0.0.1")
	var streams []*quic.Stream
	for range maxStreams {
		s, err := c.OpenStream()
		check(t, err)
		_, err = s.Write([]byte{0})
		check(t, err)
		streams = append(streams, s)
	}
	if _, err := c.OpenStream(); err == nil {
		t.Errorf("more than %d streams at once", maxStreams)
	}
	eventually(t, "all streams are read", func() bool { return k.Stats().Encrypted.QUIC.Queries == maxStreams })
	udp := dialUDP(t, k.rig)
	serves(t, udp)
	if _, err := exchangeDoQ(k.doq(t, "127.0.0.1"), framed(doqQuery(t, "bad.example.")), true); err != nil {
		t.Errorf("another connection: %v", err)
	}
	for _, s := range streams {
		check(t, s.SetReadDeadline(time.Now().Add(patience)))
		_, err := io.ReadAll(s)
		if reset, ok := errors.AsType[*quic.StreamError](err); !ok || reset.ErrorCode != doqExcessiveLoad {
			t.Fatalf("%v, expected the stream to be reset", err)
		}
	}
	if s := k.Stats().Encrypted; s.Stalled != maxStreams || s.QUIC.Queries != 0 {
		t.Errorf("%+v, expected %d stalled", s, maxStreams)
	}
	if _, err := exchangeDoQ(c, framed(doqQuery(t, "bad.example.")), true); err != nil {
		t.Errorf("the connection afterwards: %v", err)
	}
}

// Streams that are opened and reset leave nothing behind.
func TestDoQStreamsOpenedAndReset(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	c := k.doq(t, "127.0.0.1")
	for i := range 20 * maxStreams {
		s, err := c.OpenStreamSync(t.Context())
		check(t, err)
		_, _ = s.Write(framed(doqQuery(t, "bad.example."))[:i%20])
		s.CancelWrite(3)
		s.CancelRead(3)
	}
	eventually(t, "nothing is under way", func() bool { return k.Stats().Encrypted.QUIC.Queries == 0 })
	if _, err := exchangeDoQ(c, framed(doqQuery(t, "bad.example.")), true); err != nil {
		t.Error(err)
	}
}

// A name that policy drops has its stream reset.
func TestDoQDropped(t *testing.T) {
	t.Parallel()
	dropped := list(t, "dropped", "bad.example\n")
	dropped.Action = format.Drop
	k := newEncryptedRig(t, rigOptions{specs: specsOf(dropped)})
	if _, err := exchangeDoQ(k.doq(t, "127.0.0.1"), framed(doqQuery(t, "bad.example.")), true); err == nil {
		t.Error("answered over QUIC")
	}
	for way, ask := range k.ways(t, "127.0.0.1") {
		if strings.HasPrefix(way, "doh") {
			if got, err := ask(doqQuery(t, "bad.example.")); err == nil {
				t.Errorf("over %s: %x", way, got)
			}
		}
	}
	if got := len(k.hits(t)); got < 6 {
		t.Errorf("%d hits, expected one for each query", got)
	}
}

// Garbage on the QUIC port costs nothing, and what comes meanwhile is answered.
func TestGarbageOnTheQUICPort(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	random := rand.New(rand.NewPCG(1, 2))
	for _, addr := range []net.Addr{k.quic.quic.socket.LocalAddr(), k.https.quic.socket.LocalAddr()} {
		c, err := net.Dial("udp4", addr.String())
		check(t, err)
		for i := range 3000 {
			b := make([]byte, random.IntN(1400)+1)
			for j := range b {
				b[j] = byte(random.Uint32())
			}
			if i%2 == 0 && len(b) > 5 { // a long header of version 1
				copy(b, []byte{0xC0 | b[0]&0x3F, 0, 0, 0, 1})
			}
			_, _ = c.Write(b)
		}
		c.Close()
	}
	serves(t, dialUDP(t, k.rig))
	for way, ask := range k.ways(t, "127.0.0.1") {
		if _, err := ask(doqQuery(t, "bad.example.")); err != nil {
			t.Errorf("over %s: %v", way, err)
		}
	}
	eventually(t, "no connection is left but those of clients", func() bool { return k.encrypted.handshaking.Load() == 0 })
}

// Connections and queries of one client are bounded, and of all; those turned away are
// counted, and the others go on.
func TestGuestsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGuests(64)
	g.maxQueries = 64
	addr := endpoint(&net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1}).Addr()
	neighbour := endpoint(&net.UDPAddr{IP: net.ParseIP("2001:db8::ffff"), Port: 1}).Addr()
	var open []*guest
	for one := g.enter(addr); one != nil; one = g.enter(neighbour) {
		open = append(open, one)
	}
	if len(open) != minGuest {
		t.Errorf("%d connections of one /64, expected %d", len(open), minGuest)
	}
	for i := range 64 {
		if one := g.enter(endpoint(&net.UDPAddr{IP: net.IPv4(192, 0, 2, byte(i)), Port: 1}).Addr()); one != nil {
			open = append(open, one)
		}
	}
	if len(open) != 64 || g.stats().Crowded != 1+minGuest {
		t.Errorf("%d connections, %+v", len(open), g.stats())
	}
	begun := 0
	for open[0].begin() {
		begun++
	}
	if begun != minGuest {
		t.Errorf("%d queries of one client, expected %d", begun, minGuest)
	}
	for _, one := range open[minGuest:] {
		for one.begin() {
			begun++
		}
	}
	if begun != 64 || g.stats().Queries != 64 {
		t.Errorf("%d queries, %+v", begun, g.stats())
	}
	for range minGuest {
		open[0].end()
	}
	if !open[0].begin() {
		t.Error("no query although some have ended")
	}
	open[0].end()
	for _, one := range open {
		one.leave()
	}
	if s := g.stats(); s.Connections != 0 || len(g.open) != 0 || s.Queries != 64-minGuest {
		t.Errorf("%+v and %d clients afterwards", s, len(g.open))
	}
}

// Connections beyond the bound are closed, over TLS and over QUIC; when others end,
// there is room again.
func TestEncryptedConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), idle: true})
	k.encrypted.tls.maxConnections, k.encrypted.quic.maxConnections = 2, 2
	k.listener.Serve()
	k.https.Serve()
	k.quic.Serve()
	query := framed(doqQuery(t, "bad.example."))
	first, second := k.doq(t, "127.0.0.1"), k.doq(t, "127.0.0.1")
	for _, c := range []*quic.Conn{first, second} {
		_, err := exchangeDoQ(c, query, true)
		check(t, err)
	}
	if _, err := k.quicDialer(t, "127.0.0.1").Dial(t.Context(), k.quic.quic.socket.LocalAddr(), k.tlsClient("doq"), nil); err == nil {
		t.Error("a third QUIC connection")
	}
	for i := range 3 {
		_, err := k.ways(t, "127.0.0.1")["doh post"](doqQuery(t, "bad.example."))
		if (err != nil) != (i == 2) {
			t.Errorf("TLS connection %d: %v", i+1, err)
		}
	}
	if s := k.Stats().Encrypted; s.QUIC.Crowded == 0 || s.TLS.Crowded == 0 {
		t.Errorf("%+v, expected some turned away", s)
	}
	check(t, first.CloseWithError(0, ""))
	eventually(t, "there is room again", func() bool { return k.Stats().Encrypted.QUIC.Connections < 2 })
	_, err := exchangeDoQ(k.doq(t, "127.0.0.1"), query, true)
	check(t, err)
}

// Queries beyond the bound are told so at once.
func TestEncryptedQueriesAreBounded(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), idle: true})
	k.encrypted.tls.maxQueries, k.encrypted.quic.maxQueries = 0, 0
	k.https.Serve()
	k.quic.Serve()
	_, err := exchangeDoQ(k.doq(t, "127.0.0.1"), framed(doqQuery(t, "bad.example.")), true)
	if reset, ok := errors.AsType[*quic.StreamError](err); !ok || reset.ErrorCode != doqExcessiveLoad {
		t.Errorf("over QUIC %v, expected DOQ_EXCESSIVE_LOAD", err)
	}
	ways := k.ways(t, "127.0.0.1")
	if _, err := ways["doh post"](doqQuery(t, "bad.example.")); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("over HTTP/2 %v, expected status 503", err)
	}
	if _, err := ways["doh3 post"](doqQuery(t, "bad.example.")); err == nil {
		t.Error("answered over HTTP/3")
	}
	if s := k.Stats().Encrypted; s.TLS.Busy == 0 || s.QUIC.Busy < 2 {
		t.Errorf("%+v", s)
	}
}

// While many handshakes are under way, clients prove their address first, and are
// answered all the same.
func TestQUICAddressesAreProvenUnderLoad(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	k.encrypted.handshaking.Add(maxUnproven)
	_, err := exchangeDoQ(k.doq(t, "127.0.0.1"), framed(doqQuery(t, "bad.example.")), true)
	check(t, err)
	if k.Stats().Encrypted.Validated == 0 {
		t.Error("nobody had to prove an address")
	}
	if got := k.encrypted.handshaking.Load(); got != maxUnproven {
		t.Errorf("%d handshakes are counted, expected %d", got, maxUnproven)
	}
}

// What was read is answered before the connections close, over every transport, and a
// client that holds its connection open does not hold up the end.
func TestShutdownAnswersEncryptedQueries(t *testing.T) {
	t.Parallel()
	z := newZone(t, trapZone+";! held.example. A hold\nheld.example. A 192.0.2.3\n")
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), servers: []string{z.addr}})
	ways := k.ways(t, "127.0.0.1")
	idle := k.doq(t, "127.0.0.1")
	_, err := exchangeDoQ(idle, framed(doqQuery(t, "bad.example.")), true)
	check(t, err)
	gate := make(chan struct{})
	z.release(func() bool {
		select {
		case <-gate:
			return true
		default:
			return false
		}
	})
	names := []string{"doh post", "doh http/1.1", "doh3 post", "doq"}
	var asking sync.WaitGroup
	for _, way := range names {
		asking.Go(func() {
			if answer, err := ways[way](doqQuery(t, "held.example.")); err != nil || !bytes.Contains(answer, []byte{192, 0, 2, 3}) {
				t.Errorf("over %s: %x %v", way, answer, err)
			}
		})
	}
	eventually(t, "all wait", func() bool { return k.Stats().Waiting == int64(len(names)) })
	ended := make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var both sync.WaitGroup
		both.Go(func() { check(t, k.https.Shutdown(ctx)) })
		both.Go(func() { check(t, k.quic.Shutdown(ctx)) })
		both.Wait()
		close(ended)
	}()
	eventually(t, "no connection is accepted", func() bool { return k.quic.quic.open.Err() != nil && k.https.quic.open.Err() != nil })
	close(gate)
	asking.Wait()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the listeners did not end")
	}
	<-idle.Context().Done()
	if ended, ok := errors.AsType[*quic.ApplicationError](context.Cause(idle.Context())); !ok || ended.ErrorCode != doqNoError {
		t.Errorf("an idle connection ended with %v, expected DOQ_NO_ERROR", context.Cause(idle.Context()))
	}
}

// Listeners that never served give back their sockets.
func TestEncryptedListenersThatNeverServed(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{idle: true})
	https, doq := k.https.Addr(), k.quic.Addr()
	k.stop()
	again := newEncryptedRig(t, rigOptions{idle: true})
	l, err := again.ListenHTTPS(https, false, Sockets{}, nil)
	check(t, err)
	check(t, l.Shutdown(t.Context()))
	q, err := again.ListenQUIC(doq, false, nil, nil)
	check(t, err)
	check(t, q.Shutdown(t.Context()))
}

// Of sockets that were passed QUIC takes one: the kernel divides clients among several, and
// a connection that moves to another port would be cut.
func TestListenQUICOnSockets(t *testing.T) {
	var given []*net.UDPConn
	for range 2 {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		given = append(given, c)
	}
	if _, err := newRig(t, rigOptions{idle: true}).ListenQUIC(netip.MustParseAddrPort("127.0.0.1:0"), false, given, nil); err == nil || !strings.Contains(err.Error(), "found 2 UDP sockets") {
		t.Errorf("%v", err)
	}
	if err := given[0].Close(); err == nil {
		t.Error("a socket of a refused listener was left open")
	}
}
