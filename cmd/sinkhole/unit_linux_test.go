package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sinkhole/configs"
)

const units = "../../configs/systemd"

// unitSettings are the assignments of a unit, by key.
func unitSettings(t *testing.T, name string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(string(readText(t, filepath.Join(units, name)))) {
		if key, value, is := strings.Cut(strings.TrimSpace(line), "="); is && !strings.HasPrefix(key, "#") {
			all[key] = append(all[key], value)
		}
	}
	return all
}

// systemd takes the units.
func TestUnitsVerify(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"sinkhole.service", "sinkhole.socket"} {
		// Programs are looked for: this one takes the place of ours.
		text := strings.ReplaceAll(string(readText(t, filepath.Join(units, name))), "/usr/bin/sinkhole", "/bin/true")
		paths = append(paths, filepath.Join(dir, name))
		write(t, paths[len(paths)-1], text)
	}
	if out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// maxExposure is what systemd-analyze may find, in tenths: what is left is the network, port 53, priorities
// and the control socket.
const maxExposure = 17

func TestUnitIsHardened(t *testing.T) {
	out, err := exec.Command(tool(t, "systemd-analyze"), "security", "--offline=true", fmt.Sprintf("--threshold=%d", maxExposure), filepath.Join(units, "sinkhole.service")).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security finds more than %d: %v\n%s", maxExposure, err, out)
	}
}

// The times of the unit fit those of the program and of the examples.
func TestUnitTimes(t *testing.T) {
	unit := unitSettings(t, "sinkhole.service")
	seconds := func(key string) time.Duration {
		d, err := time.ParseDuration(strings.ReplaceAll(unit[key][0], "min", "m"))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return d
	}
	if start := seconds("TimeoutStartSec"); start < firstFetch+time.Minute {
		t.Errorf("a start has %v, and may wait %v for lists", start, firstFetch)
	}
	paths, err := filepath.Glob("../../configs/examples/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		c, err := configs.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if stop := seconds("TimeoutStopSec"); stop < c.Listen.ShutdownDelay+stopWithin {
			t.Errorf("%s: a stop has %v, and takes up to %v", path, stop, c.Listen.ShutdownDelay+stopWithin)
		}
	}
}

// systemCalls are those that a filter of systemd stands for.
func systemCalls(t *testing.T, analyze, filter string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for name := range strings.FieldsSeq(filter) {
		if !strings.HasPrefix(name, "@") {
			all[name] = true
			continue
		}
		out, err := exec.Command(analyze, "syscall-filter", name).Output()
		if err != nil {
			t.Fatalf("systemd-analyze syscall-filter %s: %v", name, err)
		}
		for line := range strings.Lines(string(out)) {
			if line = strings.TrimSpace(line); line != name && line != "" && !strings.HasPrefix(line, "#") {
				maps.Copy(all, systemCalls(t, analyze, line))
			}
		}
	}
	return all
}

// Every system call that the server makes in its life is one that the unit allows: a start
// with lists from files and from the network, queries, a hit, a reload, a stop.
func TestUnitAllowsTheSystemCalls(t *testing.T) {
	analyze, strace := tool(t, "systemd-analyze"), tool(t, "strace")
	allowed := map[string]bool{}
	for _, filter := range unitSettings(t, "sinkhole.service")["SystemCallFilter"] {
		if without, is := strings.CutPrefix(filter, "~"); is {
			for name := range systemCalls(t, analyze, without) {
				delete(allowed, name)
			}
			continue
		}
		maps.Copy(allowed, systemCalls(t, analyze, filter))
	}
	n := listenNotices(t)
	go n.discard()
	t.Setenv("WATCHDOG_USEC", "1000000")
	p := startMonitored(t)
	p.stop()
	// The same once more, traced.
	counts := p.path("calls")
	traced := exec.Command(strace, "-f", "-qq", "-c", "-o", counts, "sh", "-c", `echo $$ >"$1"; exec sinkhole serve -c "$2"`, "sh", p.path("pid"), p.path("sinkhole.yaml"))
	p.stderr.Reset()
	traced.Stderr = p.stderr
	if err := traced.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = traced.Process.Kill() })
	if err := waitReady(p.http); err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, name := range []string{"lumma.example", "www.clean.example", "other.clean.example"} {
			if _, err := askOnce(network, p.dns, name, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, p.path("list.txt"), "lumma.example\nredline.example\n")
	p.run("reload")
	p.run("lists")
	pid, err := strconv.Atoi(strings.TrimSpace(string(readText(t, p.path("pid")))))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := traced.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	made := regexp.MustCompile(`(?m)^\s*[\d.]+\s+[\d.]+\s+\d+\s+\d+\s+(?:\d+\s+)?([a-z]\w*)$`).FindAllStringSubmatch(string(readText(t, counts)), -1)
	if os.Geteuid() == 0 {
		allowed["fchown"] = true // SQLite gives what root makes to the database's owner; the unit's user is not root
	}
	var beyond []string
	seen := map[string]bool{}
	for _, call := range made {
		if seen[call[1]] = true; !allowed[call[1]] && call[1] != "total" {
			beyond = append(beyond, call[1])
		}
	}
	slices.Sort(beyond)
	if len(beyond) > 0 {
		t.Errorf("the server makes system calls that the unit does not allow: %v", beyond)
	}
	for _, must := range []string{"recvmmsg", "sendmmsg", "epoll_pwait", "fsync", "sched_setattr", "setpriority", "inotify_add_watch", "flock"} {
		if !seen[must] {
			t.Errorf("no %s was seen: the trace is of something else\n%s", must, readText(t, counts))
		}
	}
	if _, err := os.Stat(p.path("data/hits")); err != nil {
		t.Error(err)
	}
}
