//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"sinkhole/resolver/mmsg"
)

// TestMeasuredMillion has a list of a million names reloaded under load, the
// server on one processor and the load on another: rounds of quiet and of reload
// in turn, medians over the rounds. One query of fifty is for a listed name; the
// others are answered from the cache.
func TestMeasuredMillion(t *testing.T) {
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("skipped: runs by `make measured` (SINKHOLE_MEASURE), alone on the machine")
	}
	const rate, rounds, span = 50_000, 5, 5 * time.Second
	dir := t.TempDir()
	names := writeMillion(t, dir, 0)
	p := startProcess(t, dir, "lists: [{name: million, source: list.txt}]")
	resting := p.resident()
	pin(t, p.cmd.Process.Pid, 0)
	pin(t, os.Getpid(), 1)
	mix := make([]string, 4000)
	for i := range mix {
		if mix[i] = fmt.Sprintf("www%d.clean.example", i); i%50 == 0 {
			mix[i] = names[i*200]
		}
	}
	pump(t, p.dns, mix)
	bare := startEcho(t, 0)

	var machine, quiet, busy []lag
	for round := range rounds {
		machine = append(machine, measureLag(t, bare, mix, rate, span))
		quiet = append(quiet, measureLag(t, p.dns, mix, rate, span))
		writeMillion(t, dir, round+1)
		busy = append(busy, measureLag(t, p.dns, mix, rate, span))
		want := fmt.Sprintf("version-%d.example", round+1)
		if _, ok := pump(t, p.dns, []string{want})[want+"."]; !ok {
			t.Errorf("%s is not in force after %v", want, span)
		}
	}
	drops := p.metric("sinkhole_udp_kernel_drops_total", "")
	peak := p.highWater()
	p.stop()
	inForce, took := updatesOf(t, p)
	m, q, b := medianLag(machine), medianLag(quiet), medianLag(busy)
	t.Logf("a bare echo on that processor: 99.9th percentile %v, worst %v", m.p999, m.worst)
	t.Logf("1,000,000 names, %d queries a second: a reload is in force after %v and takes %v; 99.9th percentile %v (quiet %v), worst %v (quiet %v); %d of %d unanswered, kernel drops %.0f; resident %.0f MiB at rest, %.0f at most",
		rate, inForce[len(inForce)/2], took[len(took)/2], b.p999, q.p999, b.worst, q.worst, b.lost+q.lost, 2*rounds*rate*int(span/time.Second), drops, resting, peak)
	if b.lost+q.lost > 0 || drops > 0 {
		t.Errorf("%d queries unanswered, %v dropped by the kernel", b.lost+q.lost, drops)
	}
	if peak > 2*resting {
		t.Errorf("%.0f MiB at most, expected at most twice the %.0f at rest", peak, resting)
	}
}

// TestMeasuredStart starts with a million names: from the list as it is written,
// then from the compiled copy.
func TestMeasuredStart(t *testing.T) {
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("skipped: runs by `make measured` (SINKHOLE_MEASURE), alone on the machine")
	}
	dir := t.TempDir()
	writeMillion(t, dir, 0)
	p := startProcess(t, dir, "lists: [{name: million, source: list.txt}]")
	first := func() time.Duration {
		if _, ok := pump(t, p.dns, []string{"version-0.example"})["version-0.example."]; !ok {
			t.Fatal("no answer")
		}
		return time.Since(p.started)
	}
	written := first()
	resident := p.resident()
	if err := eventually(func() error {
		kept, err := filepath.Glob(p.path("data/lists/*/compiled"))
		if len(kept) == 0 && err == nil {
			err = errors.New("there is no compiled copy yet")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var compiled []time.Duration
	for range 5 {
		p.stop()
		p.start()
		compiled = append(compiled, first())
	}
	slices.Sort(compiled)
	t.Logf("1,000,000 names, start to first answer: %v from the list, %v from the compiled copy (median of %v); resident %.0f MiB",
		written.Round(time.Millisecond), compiled[len(compiled)/2].Round(time.Millisecond), compiled, resident)
	if most := compiled[len(compiled)/2]; written > time.Second || most > 300*time.Millisecond || resident > 90 {
		t.Error("expected at most 1 s, 300 ms and 90 MiB")
	}
}

// startEcho runs, in a process of its own on one processor, what does nothing but
// send each datagram back: what it takes longer at times is the machine's doing.
func startEcho(t *testing.T, cpu int) (addr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "addr")
	c := exec.Command(os.Args[0], "-test.run=^TestEchoProcess$")
	c.Env = append(os.Environ(), "SINKHOLE_ECHO="+path)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	err := eventually(func() error {
		text, err := os.ReadFile(path)
		if addr = string(text); err == nil && addr == "" {
			err = errors.New("the echo has no address yet")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pin(t, c.Process.Pid, cpu)
	return addr
}

// TestEchoProcess is that process.
func TestEchoProcess(t *testing.T) {
	path := os.Getenv("SINKHOLE_ECHO")
	if path == "" {
		t.Skip("skipped: it is run by TestMeasuredMillion, as a process of its own")
	}
	runtime.LockOSThread()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", bound.(*unix.SockaddrInet4).Port)
	if err := os.WriteFile(path, []byte(addr), 0o600); err != nil {
		t.Fatal(err)
	}
	for buffer := make([]byte, 4096); ; { // until it is killed
		n, from, err := unix.Recvfrom(socket, buffer, 0)
		if err == nil {
			_ = unix.Sendto(socket, buffer[:n], 0, from)
		}
	}
}

// writeMillion replaces the list by another of a million names, most of them the
// same, and returns those that stay.
func writeMillion(t *testing.T, dir string, version int) (names []string) {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "next"))
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriterSize(file, 1<<20)
	fmt.Fprintf(out, "version-%d.example\n", version)
	random := rand.New(rand.NewPCG(1, 2))
	tops := []string{"com", "net", "org", "top", "xyz", "ru", "co.uk"}
	for i := range 999_999 {
		name := fmt.Sprintf("%013x.%s", random.Uint64()>>12, tops[i%len(tops)])
		if i >= 800_000 && i%100 == version {
			name = fmt.Sprintf("v%d-%s", version, name)
		}
		if i < 800_000 {
			names = append(names, name)
		}
		fmt.Fprintln(out, name)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "list.txt")); err != nil {
		t.Fatal(err)
	}
	return names
}

// pin keeps all threads of a process, and those that they start, on one processor.
func pin(t *testing.T, pid, cpu int) {
	t.Helper()
	var set unix.CPUSet
	set.Set(cpu)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil {
			t.Skipf("processor %d cannot be had: %v", cpu, err)
		}
	}
}

// lag is how long answers took, and how many did not come.
type lag struct {
	p999, worst time.Duration
	lost        int
}

func medianLag(all []lag) (m lag) {
	at := len(all) / 2
	slices.SortFunc(all, func(a, b lag) int { return int(a.p999 - b.p999) })
	m.p999 = all[at].p999.Round(10 * time.Microsecond)
	slices.SortFunc(all, func(a, b lag) int { return int(a.worst - b.worst) })
	m.worst = all[at].worst.Round(10 * time.Microsecond)
	for _, l := range all {
		m.lost += l.lost
	}
	return m
}

// measureLag sends queries at a steady rate and times each answer. One thread does
// nothing else meanwhile and never sleeps, so that what is measured is the server.
func measureLag(t *testing.T, addr string, names []string, rate int, span time.Duration) lag {
	t.Helper()
	queries := make([][]byte, len(names))
	for i, name := range names {
		q, err := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		queries[i] = q
	}
	socket := dialRaw(t, addr)
	defer unix.Close(socket)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()

	total := int(span.Seconds() * float64(rate))
	sent := make([]time.Duration, 1<<16) // by ID; far fewer are open at once
	took := make([]time.Duration, 0, total)
	out, in := newLoadBatch(), newLoadBatch()
	const patience = 2 * time.Second // for the last answers
	begin := time.Now()
	for n := 0; len(took) < total; {
		now := time.Since(begin)
		if now > span+patience {
			break
		}
		due := min(int(now.Seconds()*float64(rate)), total, n+loadBatch)
		for i := range due - n {
			id := uint16(n + i)
			out.parts[i].SetLen(copy(out.queries[i][:], queries[(n+i)%len(queries)]))
			binary.BigEndian.PutUint16(out.queries[i][:], id)
			sent[id] = now
		}
		if due > n {
			went, errno := mmsg.Send(socket, out.headers[:due-n])
			if errno != 0 && errno != unix.EAGAIN {
				t.Fatal(errno)
			}
			n += went
		}
		came, _ := mmsg.Receive(socket, in.headers[:])
		now = time.Since(begin)
		for i := range came {
			took = append(took, now-sent[binary.BigEndian.Uint16(in.queries[i][:])])
		}
	}
	if len(took) == 0 {
		t.Fatal("no answer")
	}
	lost := total - len(took)
	for range lost {
		took = append(took, patience) // or more
	}
	slices.Sort(took)
	return lag{p999: took[len(took)*999/1000], worst: took[len(took)-1], lost: lost}
}

// dialRaw is a connected UDP socket that never waits.
func dialRaw(t *testing.T, addr string) int {
	t.Helper()
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	if err := unix.Connect(socket, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	return socket
}

// highWater is the most memory that the process ever had resident, in MiB.
func (p *process) highWater() float64 {
	p.t.Helper()
	return p.status("VmHWM")
}

// status is an amount of memory that the kernel tells of the process, in MiB.
func (p *process) status(what string) float64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		var kib float64
		if _, err := fmt.Sscanf(line, what+": %f kB", &kib); err == nil {
			return kib / 1024
		}
	}
	p.t.Fatalf("no %s", what)
	return 0
}
