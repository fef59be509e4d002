package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
)

func TestPortsAreDrawnFromTheWholeRange(t *testing.T) {
	low, high := uint16(65535), uint16(0)
	for range 20_000 {
		port := randomPort()
		low, high = min(low, port), max(high, port)
	}
	// Each end is missed by more than 100 once in 10^13 runs.
	if low < firstPort || low > firstPort+100 || high < 65535-100 {
		t.Errorf("got ports %d to %d, want nearly %d to 65535", low, high, firstPort)
	}
}

// However many exchanges wait, no more sockets are open than there are places,
// and each exchange ends in its time.
func TestSocketsAreBounded(t *testing.T) {
	silent, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	const timeout, places = 200 * time.Millisecond, 4
	f, err := New(Options{Servers: []string{silent.LocalAddr().String()}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.sockets = make(sockets, places)
	var m dns.Msg
	m.SetQuestion("www.example.com.", dns.TypeA)
	query := packed(t, &m)
	before := countSockets(t)

	var wg sync.WaitGroup
	start := time.Now()
	for range 50 {
		wg.Go(func() {
			_, err := f.Exchange(context.Background(), query)
			var failed *Error
			if !errors.As(err, &failed) {
				t.Errorf("got error %v, want an *Error", err)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for most := 0; ; {
		select {
		case <-done:
			// A scan takes time, and may see a socket and its successor.
			if most == 0 || most > 2*places {
				t.Errorf("saw up to %d sockets for 50 exchanges, want about %d", most, places)
			}
			if took := time.Since(start); took > 2*timeout+time.Second {
				t.Errorf("took %v", took)
			}
			return
		default:
			most = max(most, countSockets(t)-before)
		}
	}
}

// Exchanges that wait for a place end with Close, too.
func TestCloseWhileSocketsAreShort(t *testing.T) {
	f, err := New(Options{Servers: []string{"192.0.2.1"}, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	f.sockets = make(sockets, 1)
	f.sockets <- struct{}{}
	var m dns.Msg
	m.SetQuestion("www.example.com.", dns.TypeA)
	query := packed(t, &m)
	failed := make(chan error)
	for range 3 {
		go func() {
			_, err := f.Exchange(context.Background(), query)
			failed <- err
		}()
	}
	start := time.Now()
	go f.Close()
	for range 3 {
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got error %v, want net.ErrClosed", err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// countSockets counts this process's open sockets.
func countSockets(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

// A shortage of our own is not held against the server.
func TestOwnShortageIsNotTheServersFault(t *testing.T) {
	s := newServer(netip.MustParseAddrPort("192.0.2.1:53"), zap.NewNop())
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EADDRINUSE, syscall.ENOBUFS} {
		now := time.Now()
		s.failed(now, now, explain(context.Background(), "open socket", &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", errno)}))
	}
	if st := s.stats(); !st.Healthy || st.Local != 4 {
		t.Errorf("got healthy %v, %d local; want true, 4", st.Healthy, st.Local)
	}
	now := time.Now()
	s.failed(now, now, explain(context.Background(), "send", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ENETUNREACH)}))
	if st := s.stats(); st.Healthy || st.Network != 1 {
		t.Errorf("got healthy %v, %d network; want false, 1", st.Healthy, st.Network)
	}
}

func TestHistogram(t *testing.T) {
	var c counters
	c.observe(0)
	c.observe(time.Millisecond)
	c.observe(time.Millisecond + 1)
	c.observe(time.Hour)
	h := c.histogram()
	want := [rttBuckets]uint64{1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3}
	if h.Count != 4 || h.Buckets != want || h.Sum != time.Hour+2*time.Millisecond+1 {
		t.Errorf("got %+v, want 4 in %v", h, want)
	}
}
