package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// gathered is about how many octets of queries one write takes.
	gathered = 4096
	// keptAtMost bounds what a server may say of how long a connection is kept.
	keptAtMost = 2 * time.Minute
	// goodbye is how long the end of a connection may take.
	goodbye = 200 * time.Millisecond
)

// pipe is a TLS connection with many queries in flight, answered in any order
// (RFC 7766 section 6.2.1.1). A goroutine writes what others ask, another reads.
type pipe struct {
	conn  *tls.Conn
	out   chan []byte // queries with their length before them
	ended chan struct{}
	lost  func()
	kept  atomic.Int64 // how long the connection may stay unused
	count *counters
	write time.Duration // how long one write may take

	mu      sync.Mutex
	asked   map[uint16]chan []byte // by ID; nil: nobody waits any more
	unheard int                    // of asked, those that are nil
	err     *failure               // why it has ended
}

// newPipe makes a line of a connection.
func newPipe(conn *tls.Conn, timeout time.Duration, count *counters, start func(work func()) bool, lost func()) line {
	p := &pipe{
		conn: conn, out: make(chan []byte, maxQueries), ended: make(chan struct{}), lost: lost, count: count, write: timeout,
		asked: map[uint16]chan []byte{},
	}
	p.kept.Store(int64(idleAfter))
	if !start(p.writeAll) || !start(p.readAll) {
		p.close()
	}
	return p
}

func (p *pipe) ask(ctx context.Context, q query) ([]byte, error) {
	answer := make(chan []byte, 1)
	id := p.enter(answer)
	q.setID(id)
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(q.msg)), uint16(len(q.msg)))
	select {
	case p.out <- append(framed, q.msg...):
	case <-p.ended:
		return nil, p.lostError()
	case <-ctx.Done():
		p.leave(id)
		return nil, explain(ctx, "send", ctx.Err())
	}
	select {
	case msg := <-answer:
		return msg, nil
	case <-p.ended:
	case <-ctx.Done():
		p.leave(id)
		return nil, explain(ctx, "receive", ctx.Err())
	}
	select {
	case msg := <-answer: // just before the end
		return msg, nil
	default:
		return nil, p.lostError()
	}
}

// enter draws an ID that no query on the connection has.
func (p *pipe) enter(answer chan []byte) uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		id := randomID()
		if _, used := p.asked[id]; !used {
			p.asked[id] = answer
			return id
		}
	}
}

// leave gives up a query. Its ID stays taken until the server answers it.
func (p *pipe) leave(id uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer := p.asked[id]; answer != nil {
		p.asked[id] = nil
		p.unheard++
	}
}

func (p *pipe) late() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unheard
}

func (p *pipe) places() int         { return maxQueries }
func (p *pipe) idle() time.Duration { return time.Duration(p.kept.Load()) }

func (p *pipe) writeAll() {
	buf := make([]byte, 0, gathered)
	for {
		select {
		case framed := <-p.out:
			buf = append(buf[:0], framed...)
		case <-p.ended:
			return
		}
		for more := true; more && len(buf) < gathered; {
			select {
			case framed := <-p.out:
				buf = append(buf, framed...)
			default:
				more = false
			}
		}
		err := p.conn.SetWriteDeadline(time.Now().Add(p.write))
		if err == nil {
			_, err = p.conn.Write(buf)
		}
		if err != nil {
			p.end(explain(context.Background(), "send", err))
			return
		}
	}
}

func (p *pipe) readAll() {
	defer p.lost()
	in := bufio.NewReaderSize(p.conn, gathered)
	for strange := 0; strange < suspicious; {
		msg, err := readMessage(context.Background(), in)
		if err != nil {
			why, _ := errors.AsType[*failure](err)
			p.end(why)
			return
		}
		if !p.deliver(msg) {
			p.count.mismatched.Add(1)
			strange++
		}
	}
	p.end(failuref(causeMismatched, "the server sent %d messages that answer nothing", suspicious))
}

// deliver hands a message to the query with its ID; false if there is none.
func (p *pipe) deliver(msg []byte) bool {
	p.mu.Lock()
	id := binary.BigEndian.Uint16(msg)
	answer, asked := p.asked[id]
	delete(p.asked, id)
	if asked && answer == nil {
		p.unheard--
	}
	p.mu.Unlock()
	if kept, said := keepaliveOf(msg); said {
		p.kept.Store(int64(min(kept, keptAtMost)))
	}
	if answer != nil {
		answer <- msg
	}
	return asked
}

func (p *pipe) close() { p.end(failuref(causeCancelled, "the connection was closed")) }

// end ends the connection, and with it what waits. Only the first call counts.
func (p *pipe) end(why *failure) {
	p.mu.Lock()
	first := p.err == nil
	if first {
		p.err = why
		close(p.ended)
	}
	p.mu.Unlock()
	if first {
		// The server may not read what says goodbye.
		cut := time.AfterFunc(goodbye, func() { p.conn.NetConn().Close() })
		defer cut.Stop()
		_ = p.conn.Close()
	}
}

func (p *pipe) lostError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &lostError{failure: p.err}
}
