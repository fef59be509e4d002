package feed

import (
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// policyZone is the text of a zone with n names, at a serial.
func policyZone(serial uint32, refresh, retry, expire, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$TTL 300\n@ IN SOA localhost. root.localhost. %d %d %d %d 60\n@ NS localhost.\n", serial, refresh, retry, expire)
	for i := range n {
		fmt.Fprintf(&b, "bad%d.example CNAME .\n*.bad%d.example CNAME .\n", i, i)
	}
	b.WriteString("32.4.3.2.1.rpz-ip CNAME rpz-drop.\ndata.example 60 A 192.0.2.1\ndata.example 60 TXT \"a \\\"b\\\" ;c\" \"d\"\nx\\.y\\032z.example CNAME *.\n")
	return b.String()
}

// openZone is the zone statement of a zone that may be updated.
func openZone(more string) string {
	return `zone "rpz.test" { type primary; file "DIR/rpz.test"; allow-update { 127.0.0.1; }; ` + more + ` };`
}

func sourceOf(b *bind) string { return fmt.Sprintf("rpz://%s/rpz.test", b.address) }

func TestBINDTransfers(t *testing.T) {
	t.Parallel()
	n := newNotifyPort(t)
	b := newBIND(t, "", openZone(fmt.Sprintf("notify explicit; also-notify { 127.0.0.1 port %d; };", n.port)))
	b.write(t, "rpz.test", policyZone(1, 3600, 600, 86400, 2000))
	b.start(t)
	log, said := observe(t)
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{Logger: log})
	defer func() {
		if t.Failed() {
			t.Log(said())
		}
	}()
	n.tell(w.zones)
	w.set(ZoneSpec{Name: "l", Source: sourceOf(b)})
	w.waitSerial("l", 1)
	w.checkPrimary(b, "l", sourceOf(b), "rpz.test")

	for serial := uint32(2); serial <= 9; serial++ {
		b.update(t, "rpz.test",
			fmt.Sprintf("update add new%d.example.rpz.test 300 CNAME .", serial),
			fmt.Sprintf("update delete bad%d.example.rpz.test CNAME", serial),
			fmt.Sprintf("update add data.example.rpz.test 30 AAAA 2001:db8::%x", serial))
		if serial%3 == 0 { // several at once make several steps
			w.waitSerial("l", serial)
			w.checkPrimary(b, "l", sourceOf(b), "rpz.test")
		}
	}
	w.waitSerial("l", 9)
	w.checkPrimary(b, "l", sourceOf(b), "rpz.test")
	for i, what := range w.came() {
		if (i == 0) != strings.HasPrefix(what, "whole") {
			t.Errorf("%q, expected the whole zone once and then increments", w.came())
		}
	}
	if s := w.zones.Notifies(); s.Believed == 0 || s.Refused != 0 {
		t.Errorf("NOTIFY counted %+v", s)
	}

	// Another process goes on where this one ended.
	w.close()
	b.update(t, "rpz.test", "update add later.example.rpz.test 300 CNAME .")
	next := newZoneOwner(t, w.store.dir, ZoneOptions{Logger: log})
	next.held["l"] = readDisk(t, next.store, "l", sourceOf(b))
	if got := next.model("l").serial; got != 9 {
		t.Fatalf("serial %d at the start, expected 9", got)
	}
	next.set(ZoneSpec{Name: "l", Source: sourceOf(b)})
	next.waitSerial("l", 10)
	next.checkPrimary(b, "l", sourceOf(b), "rpz.test")
	if got := next.came(); len(got) != 1 || got[0] != "increment 9 10" {
		t.Errorf("came %q, expected one increment", got)
	}
}

func TestBINDPrimaryAwayAndBack(t *testing.T) {
	t.Parallel()
	b := newBIND(t, "", openZone(""))
	b.write(t, "rpz.test", policyZone(1, 1, 1, 2, 10))
	b.start(t)
	log, said := observe(t)
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{Logger: log})
	w.set(ZoneSpec{Name: "l", Source: sourceOf(b)})
	w.waitSerial("l", 1)

	b.stop()
	w.waitError("l", "cannot be reached")
	until(t, 20*time.Second, "the zone has expired", func() bool { return !w.status("l").Expired.IsZero() })
	if w.model("l").serial != 1 || w.store.Entry("l", sourceOf(b)).Good == nil {
		t.Error("the last good copy is gone, expected it to serve on")
	}
	until(t, 5*time.Second, "the log says so", func() bool { return strings.Contains(said(), "zone has expired") })

	b.start(t)
	until(t, 20*time.Second, "the zone is current again", func() bool {
		s := w.status("l")
		return s.Expired.IsZero() && s.Error == ""
	})
	b.update(t, "rpz.test", "update add back.example.rpz.test 300 CNAME .")
	w.waitSerial("l", 2) // without a NOTIFY: by the zone's refresh
	w.checkPrimary(b, "l", sourceOf(b), "rpz.test")
}

func TestBINDKeys(t *testing.T) {
	t.Parallel()
	const secret, other = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=", "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItMTI="
	b := newBIND(t, "", fmt.Sprintf(`
key "k256" { algorithm hmac-sha256; secret %q; };
key "k512" { algorithm hmac-sha512; secret %q; };
zone "rpz.test" { type primary; file "DIR/rpz.test"; allow-transfer { key k256; key k512; }; };
zone "one.test" { type primary; file "DIR/rpz.test"; allow-transfer { key k256; }; };`, secret, secret))
	b.write(t, "rpz.test", policyZone(7, 3600, 600, 86400, 5000))
	b.start(t)
	one := strings.Replace(sourceOf(b), "rpz.test", "one.test", 1)
	for _, c := range []struct {
		name   string
		source string
		key    TSIG
		words  []string // none: it comes
	}{
		{"sha256", sourceOf(b), TSIG{"k256", "hmac-sha256", secret}, nil},
		{"sha512", sourceOf(b), TSIG{"K512.", "HMAC-SHA512", secret}, nil},
		{"default", sourceOf(b), TSIG{"k256", "", secret}, nil},
		{"no-key", sourceOf(b), TSIG{}, []string{"REFUSED", "tsig", "no zone rpz.test"}},
		{"wrong-secret", sourceOf(b), TSIG{"k256", "hmac-sha256", other}, []string{"another secret", "k256", "tsig.secret_file"}},
		{"wrong-name", sourceOf(b), TSIG{"nobody", "hmac-sha256", secret}, []string{"does not know the TSIG key nobody"}},
		{"wrong-algorithm", sourceOf(b), TSIG{"k256", "hmac-sha512", secret}, []string{"does not know the TSIG key k256"}},
		{"not-allowed", one, TSIG{"k512", "hmac-sha512", secret}, []string{"REFUSED", "allow-transfer", "k512", "no zone one.test"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
			w.set(ZoneSpec{Name: c.name, Source: c.source, TSIG: c.key})
			if c.words == nil {
				w.waitSerial(c.name, 7)
				w.checkDisk(c.name, c.source)
				if n := len(w.model(c.name).lines); n != 10_005 {
					t.Errorf("%d records, expected 10005", n)
				}
				return
			}
			w.waitError(c.name, c.words...)
			if came := w.came(); len(came) != 0 {
				t.Errorf("came %q, expected nothing", came)
			}
		})
	}
}

func TestBINDShrunkZone(t *testing.T) {
	t.Parallel()
	b := newBIND(t, "", openZone(""))
	b.write(t, "rpz.test", policyZone(1, 3600, 600, 86400, 100))
	b.start(t)
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
	source := sourceOf(b)
	shrank := func(old, now int) bool { return now*2 < old }
	w.apply = func(i *Increment) error {
		old := len(w.held["l"].lines)
		if shrank(old, old-i.Delta.Removed.Len()+i.Delta.Added.Len()) {
			return ErrUnfit // to be judged as a whole
		}
		return nil
	}
	w.judge = func(c Candidate, m *zoneModel) Judgement {
		if old := w.held["l"]; old != nil && shrank(len(old.lines), len(m.lines)) {
			return Hold("it lost more than half")
		}
		return Accept()
	}
	w.set(ZoneSpec{Name: "l", Source: source})
	w.waitSerial("l", 1)

	var gone []string
	for i := range 90 {
		gone = append(gone, fmt.Sprintf("update delete bad%d.example.rpz.test", i), fmt.Sprintf("update delete *.bad%d.example.rpz.test", i))
	}
	b.update(t, "rpz.test", gone...)
	if err := w.zones.Refresh(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	held := w.status("l").Held
	if held == nil || w.model("l").serial != 1 {
		t.Fatalf("held is %+v and serial %d in force, expected the new one to be held", held, w.model("l").serial)
	}
	if serial, _ := ZoneSerial(held.Copy); serial != 2 || held.Reason != "it lost more than half" {
		t.Errorf("held is serial %d for %q", serial, held.Reason)
	}
	before := w.came()
	w.zones.keepers["l"].notify() // the primary has what is held: nothing is transferred again
	until(t, 5*time.Second, "a check", func() bool { return w.status("l").Tried.After(held.Since) && !w.status("l").Transferring })
	if got := w.came(); len(got) != len(before) {
		t.Errorf("came %q, expected no transfer of what is held", got[len(before):])
	}

	if _, err := w.store.Approve("l", source, held.Digest); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.held["l"] = readDisk(t, w.store, "l", source)
	w.mu.Unlock()
	b.update(t, "rpz.test", "update add more.example.rpz.test 300 CNAME .")
	if err := w.zones.Refresh(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	w.waitSerial("l", 3)
	w.checkPrimary(b, "l", source, "rpz.test")
	if got := w.came(); got[len(got)-1] != "increment 2 3" {
		t.Errorf("came %q, expected an increment on what was approved", got)
	}
}

func TestBINDTransferHarmed(t *testing.T) {
	t.Parallel()
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="
	b := newBIND(t, "", fmt.Sprintf(`key "k" { algorithm hmac-sha256; secret %q; };`, secret)+openZone(""))
	b.write(t, "rpz.test", policyZone(1, 3600, 600, 86400, 4000))
	b.start(t)
	p := newProxy(t, b.address.String())
	source := fmt.Sprintf("rpz://%s/rpz.test", p.address)

	pass := func(to, from net.Conn, n int64) error {
		_, err := io.CopyN(to, from, n)
		return err
	}
	for _, c := range []struct {
		name   string
		harm   func(client, from net.Conn)
		signed bool
		words  []string
	}{
		{"cut", func(client, from net.Conn) {
			_ = pass(client, from, 80_000)
		}, false, []string{"closed before the answer was whole"}},
		{"cut-between-messages", func(client, from net.Conn) {
			for range 3 {
				var length [2]byte
				if _, err := io.ReadFull(from, length[:]); err != nil {
					return
				}
				_, _ = client.Write(length[:])
				_ = pass(client, from, int64(binary.BigEndian.Uint16(length[:])))
			}
		}, true, []string{"closed before the answer was whole"}},
		{"trickled", func(client, from net.Conn) {
			_ = pass(client, from, 50_000)
			for pass(client, from, 1) == nil {
				time.Sleep(10 * time.Millisecond) // the harm itself
			}
		}, false, []string{"too slow or stands still"}},
		{"silent", func(client, from net.Conn) {
			_ = pass(client, from, 50_000)
			_, _ = io.Copy(io.Discard, from) // until the client gives up
		}, false, []string{"too slow or stands still"}},
		{"silent-at-once", func(_, from net.Conn) {
			_, _ = io.Copy(io.Discard, from)
		}, false, []string{"no answer within"}},
		{"corrupted", func(client, from net.Conn) {
			_ = pass(client, from, 60_000)
			one := make([]byte, 1)
			_, _ = io.ReadFull(from, one)
			one[0] ^= 0x20
			_, _ = client.Write(one)
			_, _ = copyAll(client, from)
		}, true, []string{"not believed"}},
		{"not-DNS", func(client, _ net.Conn) {
			_, _ = client.Write([]byte("HTTP/1.1 400 Bad Request\r\nServer: example\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20_000)))
		}, false, []string{"sent a message that"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newZoneOwner(t, t.TempDir(), ZoneOptions{Bounds: Bounds{Header: 400 * time.Millisecond, Window: 300 * time.Millisecond, Rate: 20 << 10}})
			spec := ZoneSpec{Name: "l", Source: source}
			if c.signed {
				spec.TSIG = TSIG{"k", "hmac-sha256", secret}
			}
			p.set(nil)
			_, serial := b.zone(t, "rpz.test")
			w.set(spec)
			w.waitSerial("l", serial)
			before := w.store.Entry("l", source).Good

			// The update that does not get through comes as a whole.
			w.apply = func(*Increment) error { return ErrUnfit }
			b.update(t, "rpz.test", fmt.Sprintf("update add %s-%d.example.rpz.test 300 CNAME .", strings.ToLower(c.name), serial))
			p.set(c.harm)
			err := w.zones.Refresh(t.Context(), "l")
			checkSays(t, err, append(c.words, p.address.String())...)
			if got := w.model("l").serial; got != serial {
				t.Errorf("serial %d in force, expected %d as before", got, serial)
			}
			if e := w.store.Entry("l", source); e.Good.Digest != before.Digest || e.Held != nil {
				t.Errorf("the copy changed though nothing came whole")
			}
			p.set(nil)
			if err := w.zones.Refresh(t.Context(), "l"); err != nil {
				t.Fatal(err)
			}
			w.checkPrimary(b, "l", source, "rpz.test")
			checkTidy(t, w.store, "l")
		})
	}
}

// checkTidy wants no left-overs in a list's directory.
func checkTidy(t *testing.T, s *Store, name string) {
	t.Helper()
	dir, err := s.Dir(name)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		hex, found := strings.CutSuffix(f.Name(), incrementsSuffix)
		if _, err := os.Stat(filepath.Join(dir, hex+copySuffix)); strings.HasSuffix(f.Name(), tempSuffix) || found && err != nil {
			t.Errorf("left over: %s", f.Name())
		}
	}
}

func TestBINDOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, pool := selfSigned(t, dir, "xfr.test")
	port := freePort(t)
	b := newBIND(t, fmt.Sprintf(`listen-on port %d tls local { 127.0.0.1; };`, port),
		fmt.Sprintf(`tls local { cert-file %q; key-file %q; };`, cert, key)+openZone(""))
	b.write(t, "rpz.test", policyZone(1, 3600, 600, 86400, 2000))
	b.start(t)
	at := fmt.Sprintf("rpzs://127.0.0.1:%d/rpz.test", port)
	t.Run("trusted", func(t *testing.T) {
		w := newZoneOwner(t, t.TempDir(), ZoneOptions{RootCAs: pool})
		source := at + "#xfr.test"
		w.set(ZoneSpec{Name: "l", Source: source})
		w.waitSerial("l", 1)
		b.update(t, "rpz.test", "update add tls.example.rpz.test 300 CNAME .")
		if err := w.zones.Refresh(t.Context(), "l"); err != nil {
			t.Fatal(err)
		}
		w.checkPrimary(b, "l", source, "rpz.test")
		if got := w.came(); len(got) != 2 || got[1] != "increment 1 2" {
			t.Errorf("came %q", got)
		}
	})
	for _, c := range []struct {
		name, source string
		pool         *x509.CertPool
		words        []string
	}{
		{"other-name", at + "#other.test", pool, []string{"TLS", "other.test"}},
		{"address-not-in-certificate", at, pool, []string{"TLS", "127.0.0.1"}},
		{"not-trusted", at + "#xfr.test", x509.NewCertPool(), []string{"TLS", "authority"}},
		{"plain-port", strings.Replace(at, fmt.Sprint(port), fmt.Sprint(b.address.Port()), 1), pool, []string{"TLS"}},
		{"plain-to-TLS", strings.Replace(at, "rpzs", "rpz", 1), pool, []string{"primary 127.0.0.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newZoneOwner(t, t.TempDir(), ZoneOptions{RootCAs: c.pool, Bounds: Bounds{Connect: 2 * time.Second, Header: time.Second}})
			w.set(ZoneSpec{Name: "l", Source: c.source})
			w.waitError("l", c.words...)
		})
	}
}

func TestBINDJournalGone(t *testing.T) {
	t.Parallel()
	b := newBIND(t, "", openZone(""))
	b.write(t, "rpz.test", policyZone(1, 3600, 600, 86400, 50))
	b.start(t)
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
	source := sourceOf(b)
	w.set(ZoneSpec{Name: "l", Source: source})
	w.waitSerial("l", 1)
	b.update(t, "rpz.test", "update add a.example.rpz.test 300 CNAME .")
	if err := w.zones.Refresh(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	w.waitSerial("l", 2)

	b.stop()
	if err := os.Remove(filepath.Join(b.dir, "rpz.test.jnl")); err != nil {
		t.Fatal(err)
	}
	b.write(t, "rpz.test", policyZone(5, 3600, 600, 86400, 80))
	b.start(t)
	if err := w.zones.Refresh(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	w.waitSerial("l", 5)
	w.checkPrimary(b, "l", source, "rpz.test")
	if got := w.came(); !slices.Equal(got, []string{"whole 1", "increment 1 2", "whole 5"}) {
		t.Errorf("came %q, expected the whole zone where there is no increment", got)
	}
	checkTidy(t, w.store, "l")

	// The serial set back: nothing is taken until a person asks.
	b.stop()
	b.write(t, "rpz.test", policyZone(3, 3600, 600, 86400, 20))
	os.Remove(filepath.Join(b.dir, "rpz.test.jnl"))
	b.start(t)
	w.zones.keepers["l"].notify()
	w.waitError("l", "serial 3", "older than 5")
	if got := w.model("l").serial; got != 5 {
		t.Errorf("serial %d in force, expected 5", got)
	}
	if err := w.zones.Refresh(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	w.waitSerial("l", 3)
	w.checkPrimary(b, "l", source, "rpz.test")
}

func TestBINDNoPolicyZone(t *testing.T) {
	t.Parallel()
	b := newBIND(t, "", `zone "plain.test" { type primary; file "DIR/plain.test"; };`)
	b.write(t, "plain.test", "$TTL 300\n@ SOA localhost. root.localhost. 1 1 1 3600 60\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\n@ MX 5 www\n")
	b.start(t)
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{})
	w.judge = func(Candidate, *zoneModel) Judgement { return Reject(fmt.Errorf("that is no policy")) }
	source := fmt.Sprintf("rpz://%s/plain.test", b.address)
	w.set(ZoneSpec{Name: "l", Source: source},
		ZoneSpec{Name: "none", Source: fmt.Sprintf("rpz://%s/other.test", b.address)})
	w.waitError("l", "that is no policy", "serial 1")
	w.waitError("none", "REFUSED")
	// Asked again and again, the zone is not transferred again and again.
	w.waitError("l", "not transferred before", "that is no policy")
	if got := w.came(); len(got) != 1 {
		t.Errorf("came %q, expected one transfer", got)
	}
	if e := w.store.Entry("l", source); e.Good != nil || e.Held != nil {
		t.Errorf("a copy is kept of what was rejected: %+v", e)
	}
	if err := w.zones.Refresh(t.Context(), "l"); err == nil || len(w.came()) != 2 {
		t.Errorf("a person who asks gets %v and %q, expected another transfer", err, w.came())
	}
}

// Increments and NOTIFY signed by BIND, over TLS too.
func TestBINDSignedIncrements(t *testing.T) {
	t.Parallel()
	cert, key, pool := selfSigned(t, t.TempDir(), "xfr.test")
	port, n := freePort(t), newNotifyPort(t)
	b := newBIND(t, fmt.Sprintf(`listen-on port %d tls local { 127.0.0.1; };`, port), fmt.Sprintf(`
tls local { cert-file %q; key-file %q; };
key "k" { algorithm hmac-sha512; secret %q; };
server 127.0.0.1 { keys { k; }; };`, cert, key, testSecret)+
		openZone(fmt.Sprintf("allow-transfer { key k; }; notify explicit; also-notify { 127.0.0.1 port %d key k; };", n.port)))
	b.write(t, "rpz.test", policyZone(1, 3600, 600, 86400, 100))
	b.start(t)
	w := newZoneOwner(t, t.TempDir(), ZoneOptions{RootCAs: pool})
	source := fmt.Sprintf("rpzs://127.0.0.1:%d/rpz.test#xfr.test", port)
	w.set(ZoneSpec{Name: "l", Source: source, TSIG: TSIG{"k", "hmac-sha512", testSecret}})
	w.waitSerial("l", 1)
	for u := range 3 { // together an increment of several messages
		var many []string
		for i := range 600 {
			many = append(many, fmt.Sprintf("update add %s%d-%d.example.rpz.test 300 CNAME .", strings.Repeat("long-", 9), u, i))
		}
		b.update(t, "rpz.test", many...)
	}
	if err := w.zones.Refresh(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	n.tell(w.zones)
	b.update(t, "rpz.test", "update add last.example.rpz.test 300 CNAME .")
	w.waitSerial("l", 5)
	w.checkDisk("l", source)
	if got := w.came(); !slices.Equal(got, []string{"whole 1", "increment 1 4", "increment 4 5"}) || len(w.model("l").lines) != 2006 {
		t.Errorf("came %q, %d records in force", got, len(w.model("l").lines))
	}
	if s := w.zones.Notifies(); s.Believed == 0 || s.Forged != 0 || s.Refused != 0 {
		t.Errorf("NOTIFY counted %+v", s)
	}
	until(t, 5*time.Second, "named says that the increment took several messages", func() bool {
		return regexp.MustCompile(`IXFR ended: ([2-9]|[0-9]{2,}) messages`).MatchString(b.log.String())
	})
}
