//go:build linux

package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/miekg/dns"
)

// heldSockets are a TCP socket and UDP sockets of one address, as systemd would hold them.
func heldSockets(t testing.TB, udp int) (addr string, files []*os.File) {
	t.Helper()
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return err
	}}
	addr = "127.0.0.1:" + freePort(t)
	keep := func(f *os.File, err error) {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	keep(l.(*net.TCPListener).File())
	_ = l.Close()
	for range udp {
		c, err := shared.ListenPacket(context.Background(), "udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		keep(c.(*net.UDPConn).File())
		_ = c.Close()
	}
	return addr, files
}

// A restart loses no query where the sockets outlive it: neither one that comes while
// nobody reads, nor one that was under way.
func TestRestartOnInheritedSockets(t *testing.T) {
	addr, files := heldSockets(t, 2)
	p := preparedProcess(t, t.TempDir(), addr, "hits: {journal: {path: hits}}\nlists: [{name: l, source: list}]")
	if err := os.WriteFile(p.path("list"), []byte("bad.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.sockets = files
	p.start()
	load := newTraffic(t, addr, 8)
	stop := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		load.send([]string{"bad.example", "good.example", "localhost"}, 5000, 60_000, stop)
		close(sent)
	}()
	enough := func(n int64) {
		for deadline := time.Now().Add(20 * time.Second); load.sent.Load() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the load stands still")
			}
		}
	}
	enough(2000)
	p.stop()
	enough(load.sent.Load() + 1000) // nobody reads
	p.start()
	enough(load.sent.Load() + 2000)
	close(stop)
	<-sent
	load.settle()
	if sent, answered := load.sent.Load(), load.answered.Load(); answered != sent {
		t.Errorf("%d queries sent over a restart, %d answered", sent, answered)
	}
	if n := load.rcodes[dns.RcodeServerFailure].Load(); n > 0 {
		t.Errorf("%d answers are SERVFAIL", n)
	}
	if r, _, err := (&dns.Client{Net: "tcp"}).Exchange(new(dns.Msg).SetQuestion("bad.example.", dns.TypeA), addr); err != nil || len(r.Answer) != 1 {
		t.Errorf("over TCP: %v, %v", r, err)
	}
	p.stop()
	if a := p.account(); a.Lost != 0 {
		t.Errorf("%+v", a)
	}
}

// What comes over TLS, HTTPS (HTTP/2) and QUIC while no process reads waits in sockets that
// outlive it, too.
func TestEncryptedRestartOnInheritedSockets(t *testing.T) {
	kdig := tool(t, "kdig")
	plain, files := heldSockets(t, 1)
	tls, tlsFiles := heldSockets(t, 0)
	https, httpsFiles := heldSockets(t, 1)
	quic, quicFiles := heldSockets(t, 1)
	p := preparedProcess(t, t.TempDir(), plain, "lists: [{name: l, source: list}]\nhits: {journal: {path: hits}}")
	pair := selfSigned(t, "dns.example", p.path("tls.crt"))
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(p.path("sinkhole.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf("listen: {dns: [%q], tls: [%q], https: [%q], quic: [%q], certificate: tls.crt, key: tls.key}\n", plain, tls, https, quic)
	_, rest, _ := strings.Cut(string(config), "\n")
	for name, text := range map[string]string{
		"sinkhole.yaml": listen + rest, "list": "bad.example\n",
		"tls.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	} {
		if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.sockets = slices.Concat(files, tlsFiles, httpsFiles, quicFiles[1:])
	p.start()
	p.stop()

	var asked sync.WaitGroup
	for transport, addr := range map[string]string{"+tls": tls, "+https": https, "+quic": quic} {
		_, port, _ := net.SplitHostPort(addr)
		asked.Go(func() {
			out, err := exec.Command(kdig, "@127.0.0.1", "-p", port, transport, "+time=30", "+retry=0", "bad.example").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "NOERROR") || !strings.Contains(string(out), "bad.example.") {
				t.Errorf("%s: %v\n%s", transport, err, out)
			}
		})
	}
	p.start()
	asked.Wait()
	p.stop()
	if a := p.account(); a.Verdicts != 3 || a.Lost != 0 {
		t.Errorf("%+v, expected a hit for each transport", a)
	}
}

// A socket that no listener is for is told, with what to do.
func TestInheritedSocketOfNoListener(t *testing.T) {
	_, files := heldSockets(t, 1)
	p := preparedProcess(t, t.TempDir(), "127.0.0.1:"+freePort(t), "hits: {journal: {path: hits}}")
	cmd := exec.Command("sinkhole", "serve", "-c", p.path("sinkhole.yaml"))
	activated(cmd, files)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "are of no listener that takes them: name these addresses under listen") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What is no socket is told, and sockets for another process are left alone.
func TestInherit(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "3")
	if i, err := inherit(2); err != nil || len(i.streams)+len(i.packets) > 0 {
		t.Errorf("%+v, %v", i, err)
	}
	t.Setenv("LISTEN_FDS", "many")
	if _, err := inherit(1); err == nil || !strings.Contains(err.Error(), `found "many"`) {
		t.Errorf("%v", err)
	}
	i := &inherited{streams: map[netip.AddrPort]net.Listener{}, packets: map[netip.AddrPort][]*net.UDPConn{}}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := i.add(f); err == nil || !strings.Contains(err.Error(), "no socket that listens") {
		t.Errorf("%v", err)
	}
	local, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	if f, err = local.(*net.UnixListener).File(); err != nil {
		t.Fatal(err)
	}
	if err := i.add(f); err == nil || !strings.Contains(err.Error(), "expected UDP or TCP") {
		t.Errorf("%v", err)
	}
}
