package feed

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// bind is a primary: BIND's named on loopback with a directory of its own.
type bind struct {
	dir     string
	conf    string
	address netip.AddrPort
	cmd     *exec.Cmd
	exited  chan struct{}
	log     *safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// needTools skips the test if a program is missing, or fails it where the
// environment says that none may be.
func needTools(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("SINKHOLE_REQUIRE_TOOLS") == "1" {
				t.Fatalf("%s is not installed, and SINKHOLE_REQUIRE_TOOLS is set", name)
			}
			t.Skipf("%s is not installed", name)
		}
	}
}

// freePort is a port that is free over UDP and TCP on 127.0.0.1 now.
func freePort(t testing.TB) uint16 {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
		l.Close()
		if err == nil {
			u.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// newBIND prepares a primary for the zones given as text of named.conf, in which
// DIR stands for its directory. Options go into the options block.
func newBIND(t testing.TB, options, zones string) *bind {
	t.Helper()
	needTools(t, "named")
	b := &bind{dir: t.TempDir(), address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t)), log: &safeBuffer{}}
	b.conf = filepath.Join(b.dir, "named.conf")
	conf := fmt.Sprintf(`
options {
	directory "DIR";
	managed-keys-directory "DIR";
	session-keyfile "DIR/session.key";
	pid-file none;
	listen-on port %d { 127.0.0.1; };
	listen-on-v6 { none; };
	allow-new-zones no;
	recursion no;
	dnssec-validation no;
	notify no;
	notify-delay 0;
	%s
};
controls { };
%s
`, b.address.Port(), options, zones)
	b.write(t, "named.conf", strings.ReplaceAll(conf, "DIR", b.dir))
	return b
}

func (b *bind) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs named until the test ends or stop is called.
func (b *bind) start(t testing.TB) {
	t.Helper()
	b.cmd = exec.Command("named", "-g", "-n", "1", "-c", b.conf)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(b.cmd, b.exited)
	t.Cleanup(b.stop)
	until(t, 20*time.Second, "named answers", func() bool {
		select {
		case <-b.exited:
			t.Fatalf("named ended:\n%s", b.log)
		default:
		}
		m := new(dns.Msg)
		m.SetQuestion("version.bind.", dns.TypeTXT)
		m.Question[0].Qclass = dns.ClassCHAOS
		c := dns.Client{Net: "tcp", Timeout: time.Second}
		_, _, err := c.Exchange(m, b.address.String())
		return err == nil && strings.Contains(b.log.String(), " running")
	})
}

// stop ends named and waits for it.
func (b *bind) stop() {
	select {
	case <-b.exited:
		return
	default:
	}
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
	case <-time.After(10 * time.Second):
		_ = b.cmd.Process.Kill()
		<-b.exited
	}
}

// update changes a zone with nsupdate; each change is a command as
// "update add NAME TTL TYPE DATA".
func (b *bind) update(t testing.TB, zone string, changes ...string) {
	t.Helper()
	needTools(t, "nsupdate")
	script := fmt.Sprintf("server 127.0.0.1 %d\nzone %s\n%s\nsend\n", b.address.Port(), zone, strings.Join(changes, "\n"))
	cmd := exec.Command("nsupdate", "-v")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nsupdate: %v\n%s\n%s", err, out, b.log)
	}
}

// zone is what the primary holds, as lines.
func (b *bind) zone(t testing.TB, name string) (lines map[string]bool, serial uint32) {
	t.Helper()
	m := new(dns.Msg)
	m.SetAxfr(dns.Fqdn(name))
	tr := &dns.Transfer{ReadTimeout: 20 * time.Second}
	ch, err := tr.In(m, b.address.String())
	if err != nil {
		t.Fatal(err)
	}
	lines = map[string]bool{}
	for e := range ch {
		if e.Error != nil {
			t.Fatalf("reading the zone from named: %v\n%s", e.Error, b.log)
		}
		for _, rr := range e.RR {
			if soa, ok := rr.(*dns.SOA); ok {
				serial = soa.Serial
			} else {
				lines[lineOf(rr)] = true
			}
		}
	}
	return lines, serial
}

// until polls a condition.
func until(t testing.TB, limit time.Duration, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !met() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// certificate makes a self-signed one for a name, as PEM files in dir, and the
// pool that trusts it.
func selfSigned(t testing.TB, dir, name string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return certFile, keyFile, pool
}

// notifyPort receives NOTIFY messages for zones over UDP.
type notifyPort struct {
	conn *net.UDPConn
	port uint16

	mu    sync.Mutex
	zones *Zones
	when  chan time.Time // of NOTIFY messages, as far as someone looks
}

func newNotifyPort(t testing.TB) *notifyPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	n := &notifyPort{when: make(chan time.Time, 100), conn: conn, port: uint16(conn.LocalAddr().(*net.UDPAddr).Port)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.serve()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return n
}

func (n *notifyPort) serve() {
	buf := make([]byte, 4096)
	for {
		size, from, err := n.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		zones := n.zones
		n.mu.Unlock()
		select {
		case n.when <- time.Now():
		default:
		}
		if zones == nil {
			continue
		}
		if reply := zones.Notify(bytes.Clone(buf[:size]), from); reply != nil {
			_, _ = n.conn.WriteToUDPAddrPort(reply, from)
		}
	}
}

func (n *notifyPort) tell(z *Zones) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.zones = z
}

// forget forgets the NOTIFY messages that came so far.
func (n *notifyPort) forget() {
	for {
		select {
		case <-n.when:
		default:
			return
		}
	}
}

// last waits for a NOTIFY, and tells when it came.
func (n *notifyPort) last(t testing.TB) time.Time {
	t.Helper()
	select {
	case at := <-n.when:
		return at
	case <-time.After(20 * time.Second):
		t.Fatal("no NOTIFY came")
		return time.Time{}
	}
}

// proxy stands between a secondary and its primary and does something to what
// the primary sends.
type proxy struct {
	address netip.AddrPort
	mu      sync.Mutex
	harm    func(client net.Conn, from net.Conn) // nil: none
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().(*net.TCPAddr).AddrPort()}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(ctx, client, to) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		running.Wait()
	})
	return p
}

func (p *proxy) serve(ctx context.Context, client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() {
		client.Close()
		server.Close()
	})()
	go func() {
		_, _ = copyAll(server, client)
		server.Close()
	}()
	p.mu.Lock()
	harm := p.harm
	p.mu.Unlock()
	if harm == nil {
		_, _ = copyAll(client, server)
		return
	}
	harm(client, server)
}

func (p *proxy) set(harm func(client, from net.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.harm = harm
}

func copyAll(to, from net.Conn) (int64, error) {
	buf := make([]byte, 32<<10)
	total := int64(0)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
		}
		if err != nil {
			return total, err
		}
	}
}
