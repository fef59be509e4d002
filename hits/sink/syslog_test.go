package sink

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"sinkhole/hits"
)

// message is a SYSLOG-MSG of RFC 5424 section 6.
var message = regexp.MustCompile(`^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([!-~]{1,255}) sinkhole (\d{1,128}) (hit|journal|landing|head) \[origin software="sinkhole" swVersion="[^"\\\]]{1,32}"\] (\{.*\})$`)

// syslogServer is a receiver that keeps what it got, in order.
type syslogServer struct {
	listener net.Listener
	addr     string
	mu       sync.Mutex
	got      []string
	conns    []net.Conn
	limit    int // octets after which a connection is cut off; 0: none
}

func listenSyslog(t *testing.T, addr string, limit int, config *tls.Config) *syslogServer {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &syslogServer{listener: l, addr: l.Addr().String(), limit: limit}
	if config != nil {
		s.listener = tls.NewListener(l, config)
	}
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go s.serve(t, conn)
		}
	}()
	t.Cleanup(s.close)
	return s
}

func (s *syslogServer) close() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

func (s *syslogServer) serve(t *testing.T, conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if s.limit > 0 {
		in = bufio.NewReader(io.LimitReader(conn, int64(s.limit)))
	}
	for {
		length, err := in.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		if err != nil || n < 1 || length[0] == '0' {
			t.Errorf("MSG-LEN %q: %v", length, err)
			return
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		m := message.FindSubmatch(text)
		if m == nil {
			t.Errorf("no syslog message: %s", text)
			return
		}
		s.mu.Lock()
		s.got = append(s.got, string(m[6]))
		s.mu.Unlock()
	}
}

func (s *syslogServer) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func syslog(network, addr string) *Syslog {
	return &Syslog{Target: Target{Network: network, Address: addr}, Host: "res1.example", Version: "1.0"}
}

func TestSyslogMessage(t *testing.T) {
	head := (&Syslog{Host: "res1 \u00fc.example", Version: `1.0"]\`}).head()
	for line, want := range map[string]string{
		`{"@timestamp":"2026-02-01T03:04:05.123456789Z","event":{"dataset":"sinkhole.hit"}}`:                     `<132>1 2026-02-01T03:04:05.123456Z res1.example sinkhole PID hit [origin software="sinkhole" swVersion="1.0"] `,
		`{"@timestamp":"2026-02-01T03:04:05.000000000Z","event":{"action":"lost","dataset":"sinkhole.journal"}}`: `<131>1 2026-02-01T03:04:05.000000Z res1.example sinkhole PID journal [origin software="sinkhole" swVersion="1.0"] `,
		`{"@timestamp":"2026-02-01T03:04:05Z","event":{"action":"stop","dataset":"sinkhole.journal"}}`:           `<134>1 2026-02-01T03:04:05.000000Z res1.example sinkhole PID journal [origin software="sinkhole" swVersion="1.0"] `,
		`{"@timestamp":"x","event":{"dataset":"sinkhole.landing"}}`:                                              `<132>1 - res1.example sinkhole PID landing [origin software="sinkhole" swVersion="1.0"] `,
		`{"a":"\"dataset\":\"sinkhole.journal\""}`:                                                               `<132>1 - res1.example sinkhole PID hit [origin software="sinkhole" swVersion="1.0"] `,
	} {
		want = strings.ReplaceAll(want, "PID", strconv.Itoa(os.Getpid())) + line
		if got := string(appendMessage(nil, head, []byte(line))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if head := (&Syslog{}).head(); !strings.HasPrefix(head.names, " - sinkhole ") {
		t.Errorf("without a host: %q", head.names)
	}
}

// The receiver gets each line once, in order, also over restarts of the sink.
func TestSyslogOverTCP(t *testing.T) {
	j := openJournal(t, t.TempDir())
	server := listenSyslog(t, "127.0.0.1:0", 0, nil)
	for range 3 {
		j.record(t, many(100)...)
		s := start(t, j.dir, "syslog", syslog("tcp", server.addr))
		eventually(t, "all is sent", func() bool { return s.Stats().Sent >= 100 })
		j.record(t, many(10)...)
		end(t, s)
		eventually(t, "all has come", func() bool { return len(server.lines()) == len(lines(t, j.dir)) })
		if st := s.Stats(); st.Connects != 1 || st.Broken != 0 || st.Connected {
			t.Errorf("%+v", st)
		}
	}
	if want, got := lines(t, j.dir), server.lines(); !slices.Equal(want, got) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
}

// A receiver that ends each connection somewhere, once within a message, still gets all.
func TestSyslogLosesNothingWhenConnectionsBreak(t *testing.T) {
	j := openJournal(t, t.TempDir())
	j.record(t, many(500)...)
	server := listenSyslog(t, "127.0.0.1:0", 100_003, nil)
	s := start(t, j.dir, "syslog", syslog("tcp", server.addr))
	// Cut off after the same octets each time, it could get no further.
	eventually(t, "some connections broke", func() bool { return s.Stats().Broken > 2 })
	server.close()
	again := listenSyslog(t, server.addr, 0, nil)
	want := lines(t, j.dir)
	eventually(t, "all has come", func() bool { return len(missing(want, append(server.lines(), again.lines()...))) == 0 })
	end(t, s)
	inOrder(t, want, append(server.lines(), again.lines()...)[len(server.lines()):])
}

// What the dead receiver's system had not handed to a program goes to the next one.
func TestSyslogReceiverThatReadsNothing(t *testing.T) {
	j := openJournal(t, t.TempDir())
	j.record(t, many(300)...)
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := deaf.Accept()
			if err != nil {
				return
			}
			_ = c.(*net.TCPConn).SetReadBuffer(4096)
			accepted <- c
		}
	}()
	s := New(Options{Name: "syslog", Journal: j.dir, Receiver: syslog("tcp", deaf.Addr().String()), Logger: zaptest.NewLogger(t)})
	s.margin, s.firstRetry = time.Hour, 20*time.Millisecond // the margin alone holds what such a system takes, and loses
	go s.Run()
	c := <-accepted
	eventually(t, "much is sent", func() bool { return s.Stats().Sent > 200 })
	deaf.Close()
	c.Close()
	server := listenSyslog(t, deaf.Addr().String(), 0, nil)
	want := lines(t, j.dir)
	eventually(t, "all has come", func() bool { return len(missing(want, server.lines())) == 0 })
	end(t, s)
	inOrder(t, want, server.lines())
}

func TestSyslogOverUDP(t *testing.T) {
	j := openJournal(t, t.TempDir())
	j.record(t, many(200)...)
	listen := func(addr string) net.PacketConn {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.UDPConn).SetReadBuffer(8 << 20)
		return c
	}
	c := listen("127.0.0.1:0")
	addr := c.LocalAddr().String()
	c.Close()
	s := start(t, j.dir, "syslog", syslog("udp", addr))
	eventually(t, "the receiver is found to be away", func() bool { return s.Stats().Broken > 1 })
	c = listen(addr)
	defer c.Close()
	want := lines(t, j.dir)
	var got []string
	buf := make([]byte, 65536)
	for len(missing(want, got)) > 0 {
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatalf("%v after %d of %d messages", err, len(got), len(want))
		}
		m := message.FindSubmatch(buf[:n])
		if m == nil {
			t.Fatalf("no syslog message: %s", buf[:n])
		}
		got = append(got, string(m[6]))
	}
	end(t, s)
	inOrder(t, want, got)
}

// A stop right after datagrams to nobody takes none of them as arrived.
func TestStopWhileUDPReceiverIsAway(t *testing.T) {
	j := openJournal(t, t.TempDir()) // with one line, its start
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := c.LocalAddr().String()
	c.Close()
	s := New(Options{Name: "syslog", Journal: j.dir, Receiver: syslog("udp", addr), Logger: zaptest.NewLogger(t)})
	var closing sync.WaitGroup
	closing.Go(func() { end(t, s) })
	eventually(t, "the sink is to stop", s.closing)
	s.Run() // sends, and ends at once
	closing.Wait()
	if s.Stats().Sent == 0 {
		t.Fatal("nothing was sent")
	}
	if at, err := s.saved.load(); err != nil || at != (hits.Position{}) {
		t.Errorf("taken up to %+v, %v", at, err)
	}
}

// certify makes a certificate for names, signed by itself.
func certify(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// Over TLS hits go to a receiver with the right name and a known issuer only.
func TestSyslogOverTLS(t *testing.T) {
	j := openJournal(t, t.TempDir())
	j.record(t, many(50)...)
	certificate, pool := certify(t, "logs.example")
	_, other := certify(t, "logs.example")
	server := listenSyslog(t, "127.0.0.1:0", 0, &tls.Config{Certificates: []tls.Certificate{certificate}})
	receiver := func(name string, pool *x509.CertPool) *Syslog {
		r := syslog("tls", server.addr)
		r.TLS = func() (*tls.Config, error) { return &tls.Config{ServerName: name, RootCAs: pool}, nil }
		return r
	}
	for _, r := range []*Syslog{receiver("other.example", pool), receiver("logs.example", other), receiver("", pool)} {
		s := start(t, j.dir, "syslog", r)
		eventually(t, "the receiver is refused", func() bool { return s.Stats().Refused > 1 })
		end(t, s)
		if st := s.Stats(); st.Sent != 0 || len(server.lines()) != 0 {
			t.Fatalf("hits went to a receiver with another certificate: %+v", st)
		}
	}
	s := start(t, j.dir, "syslog", receiver("logs.example", pool))
	want := lines(t, j.dir)
	eventually(t, "all has come", func() bool { return slices.Equal(server.lines(), want) })
	end(t, s)
}

// Close gives up on a receiver that takes nothing, when its time is over.
func TestCloseEndsInTime(t *testing.T) {
	j := openJournal(t, t.TempDir())
	j.record(t, many(50)...)
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts, so a TLS handshake hangs
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := syslog("tls", l.Addr().String())
	r.TLS = func() (*tls.Config, error) { return &tls.Config{ServerName: "x"}, nil }
	s := start(t, j.dir, "syslog", r)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	s.Close(ctx)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
}

// A position that cannot be read, or is another journal's, sends all from the beginning.
func TestBadPositions(t *testing.T) {
	j := openJournal(t, t.TempDir())
	j.record(t, many(20)...)
	want := lines(t, j.dir)
	for _, position := range []string{"", "{", `{"segment":1,"offset":-1}`, `{"segment":999,"offset":5}`, `[]`, strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(filepath.Join(j.dir, "syslog.position"), []byte(position), 0o600); err != nil {
			t.Fatal(err)
		}
		server := listenSyslog(t, "127.0.0.1:0", 0, nil)
		s := start(t, j.dir, "syslog", syslog("tcp", server.addr))
		eventually(t, "all has come", func() bool { return slices.Equal(server.lines(), want) })
		end(t, s)
		if at, err := s.saved.load(); err != nil || at == (hits.Position{}) {
			t.Errorf("after %q: %v %v", position, at, err)
		}
	}
}

const rsyslogConfig = `global(workDirectory="%[1]s" maxMessageSize="64k")
module(load="imtcp") input(type="imtcp" port="%[2]s" address="127.0.0.1")
module(load="imudp") input(type="imudp" port="%[2]s" address="127.0.0.1" rcvbufSize="4m")
template(name="parsed" type="list") {
	property(name="protocol-version") constant(value="|") property(name="pri-text") constant(value="|")
	property(name="hostname") constant(value="|") property(name="app-name") constant(value="|") property(name="msgid") constant(value="|")
	property(name="structured-data") constant(value="|") property(name="timereported" dateFormat="rfc3339") constant(value="|")
	property(name="msg") constant(value="\n")
}
*.* action(type="omfile" file="%[1]s/got" template="parsed")
`

// rsyslogd, away for a while, gets all that the journal has, and reads each field as meant.
func TestRsyslog(t *testing.T) {
	rsyslogd := tool(t, "rsyslogd")
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			dir := t.TempDir()
			free, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(free.Addr().String())
			free.Close()
			config := filepath.Join(dir, "rsyslog.conf")
			if err := os.WriteFile(config, fmt.Appendf(nil, rsyslogConfig, dir, port), 0o600); err != nil {
				t.Fatal(err)
			}
			run := func() (stop func()) {
				return run(t, rsyslogd, "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
			}
			got := func() (all []string) {
				text, _ := os.ReadFile(filepath.Join(dir, "got"))
				for line := range strings.Lines(string(text)) {
					if strings.Contains(line, "|sinkhole|") && strings.HasSuffix(line, "\n") {
						all = append(all, strings.TrimSuffix(line, "\n"))
					}
				}
				return all
			}
			taken := func() (all []string) {
				for _, line := range got() {
					_, text, _ := strings.Cut(line, "|{")
					all = append(all, "{"+text)
				}
				return all
			}
			j := openJournal(t, t.TempDir())
			j.record(t, many(100)...)
			stop := run()
			s := New(Options{Name: "syslog", Journal: j.dir, Receiver: syslog(network, "127.0.0.1:"+port), Logger: zaptest.NewLogger(t)})
			s.margin, s.firstRetry = time.Second, 50*time.Millisecond
			go s.Run()
			eventually(t, "the first have come", func() bool { return len(missing(lines(t, j.dir), taken())) == 0 })
			stop()
			j.record(t, many(700)...)
			eventually(t, "the receiver is away", func() bool { st := s.Stats(); return st.Refused+st.Broken > 1 })
			run()
			eventually(t, "the others have come", func() bool { return len(missing(lines(t, j.dir), taken())) == 0 })
			end(t, s)
			var hit struct {
				DNS struct{ Question struct{ Name string } }
			}
			fields := strings.SplitN(got()[5], "|", 8)
			if want := []string{"1", "local0.warning", "res1.example", "sinkhole", "hit", `[origin software="sinkhole" swVersion="1.0"]`}; !slices.Equal(fields[:6], want) {
				t.Errorf("got %q", fields)
			}
			if err := json.Unmarshal([]byte(fields[7]), &hit); err != nil || hit.DNS.Question.Name != `a\.\"\\.bad.example` {
				t.Errorf("%v %+v", err, hit)
			}
		})
	}
}
