package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/configs"
)

func newServe(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the resolver",
		Long: "Runs the resolver until SIGTERM or SIGINT. SIGHUP reads configuration and lists again.\n" +
			"Without -c it runs on the embedded reference configuration, which needs no root.",
		Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error { return serve(*file) },
	}
}

const (
	threadsPerCPU = 2 // threads that run Go code at one time
	leastThreads  = 4
)

func serve(file string) error {
	c, err := load(file)
	if err != nil {
		return err
	}
	if err := checkBeside(c); err != nil {
		return err
	}
	// A reader that the kernel wakes must not wait for other Go code to pause:
	// the kernel shares the processors better, by priority.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0)*threadsPerCPU, leastThreads))
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	s, err := newServer(file, c, signals)
	if err != nil {
		return err
	}
	s.serve()
	if c.Log.Format == configs.LogConsole {
		s.greet(os.Stderr)
	}
	return s.wait(signals)
}

// wait serves until a signal or a fault ends it.
func (s *server) wait(signals <-chan os.Signal) error {
	failed := s.failed()
	for {
		select {
		case err := <-failed:
			_ = s.stop()
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				go func() { _, _ = s.reload() }() // its outcome is logged
				continue
			}
			return s.drain(sig, signals)
		}
	}
}

// drain tells balancers first, waits, and stops. A second signal does not wait.
func (s *server) drain(sig os.Signal, signals <-chan os.Signal) error {
	s.log.Info("stopping", zap.Stringer("signal", sig), zap.Duration("delay", s.started.Listen.ShutdownDelay))
	s.notReady("stopping")
	s.manager.stopping(s.started.Listen.ShutdownDelay + stopWithin)
	delay := time.After(s.started.Listen.ShutdownDelay)
	for waiting := s.started.Listen.ShutdownDelay > 0; waiting; {
		select {
		case <-delay:
			waiting = false
		case again := <-signals:
			waiting = again == syscall.SIGHUP
		}
	}
	return s.stop()
}

// greet tells a person what runs, and what to try.
func (s *server) greet(w io.Writer) {
	p := s.lists.Policy()
	var where []string
	for _, l := range s.listeners {
		where = append(where, l.Addr().String())
	}
	fmt.Fprintf(w, "\nsinkhole %s answers DNS on %s (UDP and TCP)\n", versionText(), strings.Join(where, ", "))
	s.greetEncrypted(w)
	fmt.Fprintf(w, "  %s from %s; hits are written to %s\n", plural(p.Indicators(), "indicator", "indicators"), listsText(s.lists.Status()), shortPath(s.started.Hits.Journal.Path))
	for _, c := range s.consoles {
		scheme := "http"
		if c.Secure() {
			scheme = "https"
		}
		if c.HasSite() {
			fmt.Fprintf(w, "  console on %s://%s/, its API under /api/v1\n", scheme, c.Addr())
		}
		if !c.HasSite() || !s.started.Metrics.Listen.IsValid() {
			fmt.Fprintf(w, "  metrics and health on %s://%s/metrics, /healthz, /readyz\n", scheme, c.Addr())
		}
	}
	s.landing.greet(w)
	if name := p.Example(); name != "" {
		at := s.addresses()[0]
		fmt.Fprintf(w, "  try:   dig @%s -p %d %s\n", reachable(at.Addr()), at.Port(), name)
		fmt.Fprintf(w, "  then:  %s hits events\n", s.command())
	}
	fmt.Fprintln(w)
}

// listsText counts the lists, those that are being fetched and those of which
// nothing is in force.
func listsText(all []blocklist.Status) string {
	states := map[string]int{}
	for _, l := range all {
		states[l.State]++
	}
	var but []string
	if n := states[blocklist.StateFetching]; n > 0 {
		but = append(but, plural(n, "is being fetched", "are being fetched"))
	}
	if n := states[blocklist.StateFailed]; n > 0 {
		but = append(but, fmt.Sprintf("%d could not be read", n))
	}
	text := plural(len(all), "list", "lists")
	if len(but) > 0 {
		text += ", of which " + strings.Join(but, " and ")
	}
	return text
}

// command is how a person would run another command on this configuration.
func (s *server) command() string {
	name := "sinkhole"
	if strings.Contains(os.Args[0], "go-build") { // run by `go run`
		name = "go run ./cmd/sinkhole"
	}
	if s.file != "" {
		name += " -c " + s.file
	}
	return name
}

// reachable is an address to ask for a listener: loopback for a wildcard.
func reachable(a netip.Addr) netip.Addr {
	switch {
	case !a.IsUnspecified():
		return a
	case a.Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// shortPath is relative where that is shorter.
func shortPath(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(dir, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// hostName names this resolver in its records.
func hostName() string {
	if name, err := os.Hostname(); err == nil {
		return name
	}
	return net.IPv4zero.String()
}
