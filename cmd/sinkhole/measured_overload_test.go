//go:build linux

package main

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sinkhole/resolver/mmsg"
)

// ourselves is this server as it is measured.
func ourselves() contender { return contenders[0] }

// TestMeasuredCores tells what a query costs with a reader on one processor, and with
// one on each of two that share all that is looked up.
func TestMeasuredCores(t *testing.T) {
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("skipped: runs by `make peers` (SINKHOLE_MEASURE), alone on the machine")
	}
	pin(t, os.Getpid(), 1)
	names, cached := listedNames(200_000), numbered(50_000, "www%d.clean.example")
	upstream := startBareUpstream(t)
	one := startContender(t, ourselves(), upstream, names)
	two := startOn(t, "0,1", ourselves(), upstream, names)
	costs := map[*running]map[string][]float64{one: {}, two: {}}
	for range measuredRounds(t, 5) {
		for _, r := range []*running{one, two} {
			loads := loadsOf(t, names, cached)
			press(t, r.addr, asking(t, cached), time.Minute, len(cached))
			for _, what := range []string{"blocked", "cached", "miss"} {
				before := processorTime(t, r.cmd.Process.Pid)
				p := press(t, r.addr, loads[what], 2*time.Second, 0)
				used := processorTime(t, r.cmd.Process.Pid) - before
				costs[r][what] = append(costs[r][what], float64(used.Microseconds())/float64(max(p.answered, 1)))
			}
		}
	}
	for _, what := range []string{"blocked", "cached", "miss"} {
		t.Logf("%s: %.2f us a query with one reader, %.2f with two (which share a processor with what asks)", what, median(costs[one][what]), median(costs[two][what]))
	}
}

// TestMeasuredOverload asks for names that no upstream answers, as fast as they can be
// sent, and for listed and cached names beside, a thousand times a second each.
func TestMeasuredOverload(t *testing.T) {
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
		sent/int(span/time.Second), answered, asked, m.sum("sinkhole_shed_total", ""), p.highWater(), m.sum("sinkhole_udp_kernel_drops_total", ""))
	if p.highWater() > 256 {
		t.Errorf("%.0f MiB at most", p.highWater())
	}
}
