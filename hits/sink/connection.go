package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a connection.
const (
	connectWithin = 10 * time.Second
	writeWithin   = 30 * time.Second
	streamBatch   = 256 // lines between two looks at the receiver

	// Datagrams go out in small bursts, that the receiver's socket holds: at most 4,000 a second.
	datagramBatch  = 16
	datagramPause  = 4 * time.Millisecond
	datagramSettle = 500 * time.Millisecond // a first datagram to nobody is refused within
)

// Why a line is not sent.
var (
	errTooLong        = errors.New("the line is too long for the receiver")
	errUnusable       = errors.New("the line is no record")
	errNotForReceiver = errors.New("the line is not of the kind that the receiver gets")
)

// Receiver is where lines are sent.
type Receiver interface {
	connect(context.Context) (*connection, error)
	String() string
}

// Target is the address of a receiver.
type Target struct {
	Network string                      // udp, tcp, tls or unix
	Address string                      // host:port, or the path of a socket
	TLS     func() (*tls.Config, error) // read at each connection, for certificates that are renewed
}

func (t *Target) String() string { return t.Network + "://" + t.Address }

// connection is one to a receiver. What the receiver sends is read by a goroutine, which so
// learns of its end at once.
type connection struct {
	conn   net.Conn // what is written to
	socket *counted // below it
	out    *bufio.Writer
	put    func(line []byte) error
	// putHead is put for a head of the journal's chain, in JSON; nil: the receiver gets none.
	putHead func(head []byte, signed time.Time) error
	flush   func() error
	end     func() error // says that nothing follows, and hears that all arrived; nil: there is no such thing

	datagrams bool
	batch     int
	pause     time.Duration // between batches
	settle    time.Duration // after the first datagram

	in      *io.PipeReader
	ended   chan struct{}
	why     error // set before ended is closed
	closing sync.Once
}

// counted counts the octets written to a socket, and bounds each write in time.
type counted struct {
	net.Conn
	octets atomic.Uint64
}

func (c *counted) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.octets.Add(uint64(n))
	return n, err
}

// dial connects. heard: what the receiver says is read by in, else nobody reads it.
func (t *Target) dial(ctx context.Context, heard bool) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	network := t.Network
	if network == "tls" {
		network = "tcp"
	}
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	socket, err := dialer.DialContext(ctx, network, t.Address)
	if err != nil {
		return nil, err
	}
	loseDead(socket)
	c := &connection{socket: &counted{Conn: socket}, ended: make(chan struct{}), datagrams: network == "udp", batch: streamBatch}
	c.conn = c.socket
	if c.datagrams {
		c.batch, c.pause, c.settle = datagramBatch, datagramPause, datagramSettle
	}
	if t.Network == "tls" {
		if c.conn, err = t.encrypt(ctx, c.socket); err != nil {
			socket.Close()
			return nil, err
		}
	}
	c.out = bufio.NewWriterSize(c.conn, 64<<10)
	c.flush = c.out.Flush
	heardBy := io.Discard
	if heard {
		var w *io.PipeWriter
		c.in, w = io.Pipe()
		heardBy = w
	}
	go c.listen(heardBy)
	return c, nil
}

func (t *Target) encrypt(ctx context.Context, socket net.Conn) (net.Conn, error) {
	config, err := t.TLS()
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	if config.ServerName == "" {
		if config.ServerName, _, err = net.SplitHostPort(t.Address); err != nil {
			return nil, err
		}
	}
	config.MinVersion = tls.VersionTLS12 // RFC 9662
	secure := tls.Client(socket, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secure, nil
}

// listen reads until the receiver ends the connection.
func (c *connection) listen(to io.Writer) {
	_, err := io.Copy(to, c.conn)
	if err == nil {
		err = errors.New("the receiver closed the connection")
	}
	c.why = err
	close(c.ended)
	if pipe, ok := to.(*io.PipeWriter); ok {
		_ = pipe.CloseWithError(err)
	}
}

// cause is why the connection ended.
func (c *connection) cause() error { return c.why }

// written is the octets put on the socket so far.
func (c *connection) written() uint64 { return c.socket.octets.Load() }

// arrived is those of them that the receiver's system has confirmed, as far as ours tells.
func (c *connection) arrived() uint64 {
	written := c.written()
	return written - min(written, unconfirmed(c.socket.Conn))
}

func (c *connection) close() {
	c.closing.Do(func() {
		if c.in != nil {
			_ = c.in.Close()
		}
		c.conn.Close()
	})
}
