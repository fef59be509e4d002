package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// manager is the service manager that started the program, systemd or one like it,
// which is told of its state (sd_notify(3)). Where there is none, telling does
// nothing.
type manager struct {
	log    *zap.Logger
	turn   func(context.Context) error // nil when all readers have come round
	status func() string

	closing sync.Once
	closed  chan struct{} // nothing is told of readers any more
}

func newManager(log *zap.Logger, turn func(context.Context) error, status func() string) *manager {
	return &manager{log: log, turn: turn, status: status, closed: make(chan struct{})}
}

// feedsPerWatch is how often within its time the watchdog is fed: it must miss two
// in a row before it bites.
const feedsPerWatch = 3

// ready tells that queries are answered, and goes on to tell so as often as the
// watchdog wants to hear it.
func (m *manager) ready() {
	m.tell("READY=1", "STATUS="+m.status())
	if within := watchdog(); within > 0 {
		go m.watch(within / feedsPerWatch)
	}
}

// watchdog is how long it waits to be fed (sd_watchdog_enabled(3)); 0: there is none, or
// it is another process's.
func watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	within, err := strconv.ParseUint(os.Getenv("WATCHDOG_USEC"), 10, 48)
	if err != nil {
		return 0
	}
	return time.Duration(within) * time.Microsecond
}

// watch feeds the watchdog for as long as all readers come round in time. A program
// that is alive but answers nobody gets killed, and started anew.
func (m *manager) watch(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), every)
		err := m.turn(ctx)
		cancel()
		select {
		case <-m.closed:
			return
		default:
		}
		if err == nil {
			m.tell("WATCHDOG=1", "STATUS="+m.status())
		} else {
			m.log.Error("the watchdog of the service manager is not fed", zap.Error(err))
		}
		select {
		case <-m.closed:
			return
		case <-tick.C:
		}
	}
}

// reloading tells that configuration and lists are read again. What it returns tells
// that this is over.
func (m *manager) reloading() (reloaded func()) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return func() {}
	}
	m.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond)))
	return func() { m.tell("READY=1", "STATUS="+m.status()) }
}

// stopping tells that the program ends, and how long that takes: the unit's
// TimeoutStopSec knows nothing of listen.shutdown_delay.
func (m *manager) stopping(within time.Duration) {
	m.tell("STOPPING=1", "STATUS="+m.status(), fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", within.Microseconds()))
}

// close ends the feeding.
func (m *manager) close() { m.closing.Do(func() { close(m.closed) }) }

// tellWithin bounds the wait for a manager that does not read: a stop must not wait for it.
const tellWithin = time.Second

func (m *manager) tell(state ...string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if err := sendNotice(path, strings.Join(state, "\n")); err != nil {
		m.log.Warn("cannot tell the service manager", zap.String("state", state[0]), zap.Error(err))
	}
}

// sendNotice sends one datagram; an @ before the path is an abstract name.
func sendNotice(path, state string) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(tellWithin)); err != nil {
		return err
	}
	_, err = c.Write([]byte(state))
	return err
}
