package upstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// Kind says why an exchange brought no reply.
type Kind uint8

const (
	// NoServer means that there is no server to ask.
	NoServer Kind = iota
	// NoReply means that at least one server stayed silent, and none replied.
	NoReply
	// Network means that every server was out of reach or sent nothing usable.
	Network
)

// Extended DNS error codes (RFC 8914).
const (
	edeNoReachableAuthority = 22
	edeNetworkError         = 23
)

// Error tells why an exchange brought no reply, and what happened with each
// server that was asked.
type Error struct {
	Kind     Kind
	Reason   string // why there is no server; empty for other kinds
	Attempts []Attempt
}

// Attempt is one failed attempt at one server.
type Attempt struct {
	Server    fmt.Stringer // as in Reply
	Transport string       // the transport that failed: udp, tcp, tls, https or quic
	Took      time.Duration
	Err       error
}

// EDE is the extended error code (RFC 8914) that tells a client.
func (e *Error) EDE() uint16 {
	if e.Kind == Network {
		return edeNetworkError
	}
	return edeNoReachableAuthority
}

func (e *Error) Error() string {
	if e.Kind == NoServer {
		return "no upstream server to ask: " + e.Reason
	}
	var b strings.Builder
	if e.Kind == NoReply {
		b.WriteString("no upstream server answered")
	} else {
		b.WriteString("no upstream server could be used")
	}
	for i, a := range e.Attempts {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s over %s: %v (after %v)", a.Server, a.Transport, a.Err, a.Took.Round(time.Millisecond))
	}
	return b.String()
}

// Unwrap gives the errors of the attempts to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}

// cause is what ended an attempt without a reply.
type cause uint8

const (
	causeTimeout    cause = iota
	causeRefused          // connection refused: ICMP port unreachable, TCP reset
	causeNetwork          // any other fault of the network or the connection
	causeMismatched       // over TCP: a reply to something else
	causeMalformed        // over TCP: not a DNS message
	causeLocal            // our own shortage; says nothing about the server
	causeCancelled        // another attempt or the caller ended it
)

// failure is the error of an attempt: its cause, and the words for a person.
type failure struct {
	cause cause
	text  string
	err   error // what the system said, if it said anything
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

func failuref(c cause, format string, args ...any) *failure {
	return &failure{cause: c, text: fmt.Sprintf(format, args...)}
}

// explain turns an error of the net package that came up while doing what into
// a failure. The addresses in it are left out: the Attempt names the server.
func explain(ctx context.Context, what string, err error) *failure {
	var errno syscall.Errno
	f := &failure{cause: causeNetwork, err: err}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		f.cause, f.text = causeCancelled, what+": given up"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		f.cause, f.text = causeTimeout, what+": no answer"
	case errors.As(err, &errno):
		f.cause, f.text = causeOf(errno), what+": "+errno.Error()
	default:
		f.text = what + ": " + err.Error()
	}
	return f
}

func causeOf(errno syscall.Errno) cause {
	switch errno {
	case syscall.ECONNREFUSED:
		return causeRefused
	case syscall.ETIMEDOUT:
		return causeTimeout
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRINUSE:
		return causeLocal
	}
	return causeNetwork
}
