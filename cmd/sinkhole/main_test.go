package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sinkhole/hits"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sinkhole": main,
		"ask":      askMain,
	})
}

// TestScripts runs the sessions in testdata/script. $DNS and $HTTP are free
// ports; expand puts them into files.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DNS", freePort(t))
			e.Setenv("UID", strconv.Itoa(os.Geteuid()))
			e.Setenv("HTTP", freePort(t))
			e.Setenv("HTTPS", freePort(t))
			e.Setenv("QUIC", freePort(t))
			e.Setenv("UPSTREAM", startUpstream(t).String())
			e.Setenv("LISTS", "127.0.0.1:"+freePort(t))
			e.Values[publisherKey{}] = &publisher{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"expand":    cmdExpand,
			"ready":     cmdReady,
			"linger":    cmdLinger,
			"signal":    cmdSignal,
			"journaled": cmdJournaled,
			"publish":   cmdPublish,
			"withdraw":  cmdWithdraw,
			"certify":   cmdCertify,
		},
		Condition: func(condition string) (bool, error) {
			if condition == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", condition)
		},
	})
}

// freePort is a port that was free on UDP and TCP a moment ago.
func freePort(t testing.TB) string {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		c, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		l.Close()
		if err == nil {
			c.Close()
			return port
		}
	}
	t.Fatal("no port is free on both UDP and TCP")
	return ""
}

// cmdExpand replaces $VARIABLES in files by their values.
func cmdExpand(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		path := ts.MkAbs(file)
		ts.Check(os.WriteFile(path, []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o644))
	}
}

// patience bounds each wait of a test.
const patience = 20 * time.Second

// cmdReady waits until the server says that it is ready.
func cmdReady(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(waitReady("127.0.0.1:" + ts.Getenv("HTTP")))
}

func waitReady(addr string) error {
	return eventually(func() error { return readyNow(addr) })
}

func readyNow(addr string) error {
	r, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz says %s", r.Status)
	}
	return nil
}

// eventually tries until there is no error or patience ends.
func eventually(try func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cmdLinger waits until a file has a line with the given words.
func cmdLinger(ts *testscript.TestScript, _ bool, args []string) {
	words := strings.Join(args[1:], " ")
	ts.Check(eventually(func() error {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && !strings.Contains(string(text), words) {
			err = fmt.Errorf("%s has no %q:\n%s", args[0], words, text)
		}
		return err
	}))
}

// cmdSignal sends a signal to the server whose process ID stands in the file pid.
func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile("pid")))
	ts.Check(err)
	sig := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}[args[0]]
	ts.Check(syscall.Kill(pid, sig))
}

// cmdJournaled waits until the journal in data/hits, or in another directory, holds
// so many hits.
func cmdJournaled(ts *testscript.TestScript, _ bool, args []string) {
	dir := "data/hits"
	if len(args) > 1 {
		dir = args[1]
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(eventually(func() error {
		found := 0
		err := hits.Read(context.Background(), ts.MkAbs(dir), hits.Filter{}, func(*hits.Record) error { found++; return nil })
		if err == nil && found != want {
			err = fmt.Errorf("the journal holds %d hits, want %d", found, want)
		}
		return err
	}))
}
