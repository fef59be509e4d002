package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

// notices is what a service manager is told.
type notices struct {
	t    *testing.T
	conn *net.UnixConn
}

// listenNotices is the service manager's end. The program is told of it in the environment.
func listenNotices(t *testing.T) *notices {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &notices{t, c}
}

// next is the next notice, of which some lines may be told anew at any time.
func (n *notices) next(within time.Duration) (string, error) {
	if err := n.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	b := make([]byte, 4096)
	got, err := n.conn.Read(b)
	return string(b[:got]), err
}

// discard reads all that is told.
func (n *notices) discard() {
	for b := make([]byte, 4096); ; {
		if _, err := n.conn.Read(b); err != nil {
			return
		}
	}
}

// want reads up to a notice that matches, past those that feed the watchdog.
func (n *notices) want(expr string) {
	n.t.Helper()
	for {
		notice, err := n.next(patience)
		if err != nil {
			n.t.Fatalf("no notice %s: %v", expr, err)
		}
		if regexp.MustCompile(expr).MatchString(notice) {
			return
		}
		if !strings.HasPrefix(notice, "WATCHDOG=1\n") {
			n.t.Fatalf("told %q, expected %s", notice, expr)
		}
	}
}

// A service manager is told of the whole life of the server, and the watchdog is fed.
func TestServiceManager(t *testing.T) {
	n := listenNotices(t)
	t.Setenv("WATCHDOG_USEC", "300000")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.txt"), []byte("lumma.example\nvidar.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, dir, "hits: {journal: {path: data/hits}}\nlists: [{name: bad, source: bad.txt}]")
	n.want("^READY=1\nSTATUS=2 indicators from 1 list$")
	for range 3 {
		n.want("^WATCHDOG=1\nSTATUS=2 indicators from 1 list$")
	}
	if err := os.WriteFile(p.path("bad.txt"), []byte("lumma.example\nvidar.example\nredline.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.run("reload")
	n.want(`^RELOADING=1\nMONOTONIC_USEC=[1-9]\d+$`)
	n.want("^READY=1\nSTATUS=3 indicators from 1 list$")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	n.want(`^RELOADING=1\n`)
	n.want("^READY=1\n")
	p.stop()
	n.want("^STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=5000000$")
	if strings.Contains(p.stderr.String(), "service manager") {
		t.Errorf("a fault with the service manager was logged:\n%s", p.stderr)
	}
}

// The watchdog bites when readers do not come round, and only then.
func TestWatchdogIsOnlyFedWhileReadersTurn(t *testing.T) {
	n := listenNotices(t)
	var hangs atomic.Bool
	var turns atomic.Int64
	turn := func(context.Context) error {
		turns.Add(1)
		if hangs.Load() {
			return errors.New("a reader hangs")
		}
		return nil
	}
	m := newManager(zap.NewNop(), turn, func() string { return "well" })
	watching := make(chan struct{})
	go func() {
		m.watch(time.Millisecond)
		close(watching)
	}()
	n.want("^WATCHDOG=1\nSTATUS=well$")
	hangs.Store(true)
	before := turns.Load()
	if err := eventually(func() error {
		if turns.Load() < before+3 {
			return errors.New("the readers are not looked at")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for { // what was told before
		if _, err := n.next(time.Millisecond); err != nil {
			break
		}
	}
	before = turns.Load()
	if err := eventually(func() error {
		if turns.Load() < before+3 {
			return errors.New("the readers are not looked at")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if notice, err := n.next(time.Millisecond); err == nil {
		t.Errorf("told %q while a reader hangs", notice)
	}
	hangs.Store(false)
	n.want("^WATCHDOG=1\nSTATUS=well$")
	m.close()
	<-watching
}

// A service manager that does not read holds nobody up for long.
func TestServiceManagerThatDoesNotRead(t *testing.T) {
	n := listenNotices(t)
	path := os.Getenv("NOTIFY_SOCKET")
	full := 0
	for ; full < 10_000; full++ {
		if err := sendNotice(path, "STATUS=filling"); err != nil {
			break
		}
	}
	if full == 10_000 {
		t.Fatal("the socket takes all")
	}
	m := newManager(zap.NewNop(), nil, func() string { return "well" })
	begin := time.Now()
	m.stopping(0)
	if took := time.Since(begin); took < tellWithin || took > patience {
		t.Errorf("told after %v, expected that it is given up after %v", took, tellWithin)
	}
	if notice, err := n.next(patience); err != nil || notice != "STATUS=filling" {
		t.Errorf("%q, %v", notice, err)
	}
}

// What is no watchdog of this process is not fed.
func TestWatchdogOfAnother(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"30000000", "", 30 * time.Second}, {"30000000", strconv.Itoa(os.Getpid()), 30 * time.Second}, {"30000000", "1", 0},
		{"0", "", 0}, {"-1", "", 0}, {"soon", "", 0}, {"99999999999999999999", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got := watchdog(); got != c.want {
			t.Errorf("WATCHDOG_USEC=%s WATCHDOG_PID=%s: %v, expected %v", c.usec, c.pid, got, c.want)
		}
	}
}

// Balancers are told first: /readyz fails at once, queries are answered for
// listen.shutdown_delay, and then the sockets close. The service manager gives it that
// time.
func TestShutdownDelay(t *testing.T) {
	n := listenNotices(t)
	p := startProcess(t, t.TempDir(), "hits: {journal: {path: data/hits}}")
	p.stop()
	const delay = 2 * time.Second
	config, err := os.ReadFile(p.path("sinkhole.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config = []byte(strings.Replace(string(config), "listen: {", "listen: {shutdown_delay: 2s, ", 1))
	if err := os.WriteFile(p.path("sinkhole.yaml"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	p.start()
	n.want("^READY=1\n")
	n.want("^STOPPING=1\n")
	n.want("^READY=1\n")
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	n.want("^STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=7000000$")
	if err := readyNow(p.http); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v, expected that /readyz fails at once", err)
	}
	answered := 0
	for time.Since(begin) < delay*3/4 {
		for _, network := range []string{"udp", "tcp"} {
			if _, err := askOnce(network, p.dns, "www.clean.example", 1); err != nil {
				t.Fatalf("after %v of %v over %s: %v", time.Since(begin), delay, network, err)
			}
			answered++
		}
	}
	if answered == 0 {
		t.Error("nothing was asked within the delay")
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, p.stderr)
	}
	if took := time.Since(begin); took < delay || took > delay+stopWithin {
		t.Errorf("the stop took %v, expected %v and %v at most", took, delay, stopWithin)
	}
}
