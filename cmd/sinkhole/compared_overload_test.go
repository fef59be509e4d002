//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sinkhole/resolver/mmsg"
)

// ourselves is this server as it is measured.
func ourselves() contender { return contenders[0] }

// TestComparedCores tells what a query costs a server with a reader on each of two
// processors, beside two servers with one reader each, which share nothing: what they
// differ in is what sharing costs.
func TestComparedCores(t *testing.T) {
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("skipped: runs by `make peers` (SINKHOLE_MEASURE), alone on the machine")
	}
	pin(t, os.Getpid(), 1)
	names, cached := listedNames(200_000), numbered(50_000, "www%d.clean.example")
	upstream := startBareUpstream(t)
	apart := []*running{startContender(t, ourselves(), upstream, names), startOn(t, "1", ourselves(), upstream, names)}
	together := []*running{startOn(t, "0,1", ourselves(), upstream, names)}
	spread(t, together[0].cmd.Process.Pid)
	costs := map[string][]float64{}
	measure := func(what, how string, all []*running, asked workload) {
		var addrs []string
		used := time.Duration(0)
		for _, r := range all {
			addrs = append(addrs, r.addr)
			used -= processorTime(t, r.cmd.Process.Pid)
		}
		p := press(t, strings.Join(addrs, ","), asked, 2*time.Second, 0)
		for _, r := range all {
			used += processorTime(t, r.cmd.Process.Pid)
		}
		costs[what+how] = append(costs[what+how], float64(used.Microseconds())/float64(max(p.answered, 1)))
	}
	for range measuredRounds(t, 5) {
		loads := loadsOf(t, names, cached)
		for _, r := range append(apart, together...) {
			press(t, r.addr, asking(t, cached), time.Minute, len(cached))
		}
		for _, what := range loadNames {
			measure(what, " apart", apart, loads[what])
			measure(what, " together", together, loads[what])
		}
	}
	for _, what := range loadNames {
		t.Logf("%s: %.2f us a query by one server with a reader on each of two processors, %.2f by two servers", what, median(costs[what+" together"]), median(costs[what+" apart"]))
	}
}

// spread keeps the first reader of a server on the first processor, and the second on
// the second, as the servers that it is beside are.
func spread(t *testing.T, pid int) {
	t.Helper()
	var readers []int
	if err := eventually(func() error {
		if readers = foremost(t, pid); len(readers) != 2 {
			return fmt.Errorf("%d threads are before all others, expected two readers", len(readers))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for processor, thread := range readers {
		var set unix.CPUSet
		set.Set(processor)
		if err := unix.SchedSetaffinity(thread, &set); err != nil {
			t.Fatal(err)
		}
	}
}

// foremost are the threads of a process that are before all others.
func foremost(t *testing.T, pid int) (threads []int) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	top := lowest
	for _, task := range tasks {
		thread, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		nice, err := niceOf(thread)
		switch {
		case err != nil: // it has ended
		case nice < top:
			top, threads = nice, []int{thread}
		case nice == top:
			threads = append(threads, thread)
		}
	}
	return threads
}

// TestComparedOverload asks for names that no upstream answers, as fast as they can be
// sent, and for listed and cached names beside, a thousand times a second each.
func TestComparedOverload(t *testing.T) {
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("skipped: runs by `make peers` (SINKHOLE_MEASURE), alone on the machine")
	}
	const span, pace = 5 * time.Second, time.Millisecond
	pin(t, os.Getpid(), 1)
	names, cached := listedNames(200_000), numbered(1000, "www%d.clean.example")
	upstream, upstreamProcess := startBare(t)
	r := startContender(t, ourselves(), upstream, names)
	press(t, r.addr, asking(t, cached), time.Minute, len(cached))
	p := &process{t: t, cmd: r.cmd, http: "127.0.0.1:" + r.http}
	if err := upstreamProcess.Signal(unix.SIGSTOP); err != nil { // it answers nothing more
		t.Fatal(err)
	}

	flood, probes := dialRaw(t, r.addr), dialRaw(t, r.addr)
	defer unix.Close(flood)
	defer unix.Close(probes)
	out, in := newLoadBatch(), newLoadBatch()
	fresh, probing := askingAnew(t), mixing(asking(t, cached), asking(t, cached), asking(t, names))
	listed := asking(t, names)
	sent, asked, answered := 0, 0, 0
	begin := time.Now()
	for next := begin; time.Since(begin) < span; {
		for i := range loadBatch {
			out.parts[i].SetLen(fresh(out.queries[i][:]))
			binary.BigEndian.PutUint16(out.queries[i][:], uint16(sent+i))
		}
		if n, errno := mmsg.Send(flood, out.headers[:]); errno == 0 {
			sent += n
		}
		for range 4 { // answers to the flood are thrown away
			_, _ = mmsg.Receive(flood, in.headers[:])
		}
		if time.Since(next) >= pace {
			next = next.Add(pace)
			for _, one := range []workload{probing, listed} {
				size := one(out.queries[0][:])
				if _, err := unix.Write(probes, out.queries[0][:size]); err == nil {
					asked++
				}
			}
		}
		n, _ := mmsg.Receive(probes, in.headers[:])
		for i := range n {
			if in.queries[i][3]&0xf == 0 {
				answered++
			}
		}
	}
	m := p.metrics()
	t.Logf("%d misses a second that nobody answers: %d of %d queries for listed and cached names answered; %.0f shed, %.0f MiB at most, kernel drops %.0f",
		sent/int(span/time.Second), answered, asked, m.sum("sinkhole_queries_shed_total", ""), p.highWater(), m.sum("sinkhole_udp_kernel_drops_total", ""))
	if p.highWater() > 256 {
		t.Errorf("%.0f MiB at most", p.highWater())
	}
}
