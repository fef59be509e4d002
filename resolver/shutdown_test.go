package resolver

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// What arrived before the shutdown is answered, read or not.
func TestShutdownAnswersWhatTheSocketHeld(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), idle: true, queue: 1 << 12})
	c := dialUDP(t, k)
	raiseBuffer(rawConn(t, c))
	const sent = 2000
	for i := range sent {
		msg := queryOf(t, "bad.example.", dns.TypeA)
		wire.SetID(msg, uint16(i))
		send(t, c, msg)
	}
	held := sent - int(k.listener.Drops()) // a process without privileges has less room
	answered := make(chan int)
	go func() {
		seen := map[uint16]bool{}
		buffer := make([]byte, 512)
		for len(seen) < held {
			if _, err := c.Read(buffer); err != nil {
				break
			}
			seen[wire.ID(buffer)] = true
		}
		answered <- len(seen)
	}()
	k.listener.Serve()
	k.stop()
	if got := len(k.hits(t)); got != held {
		t.Errorf("%d hits of %d queries", got, held)
	}
	check(t, c.SetDeadline(time.Now().Add(time.Second)))
	if got, dropped := <-answered, int(kernelDrops(rawConn(t, c))); got+dropped != held {
		t.Errorf("%d of %d queries answered, %d answers found no room here", got, held, dropped)
	}
}

// What arrives in the moment before a shutdown, while the reader still sleeps, is
// answered too.
func TestShutdownAnswersABurst(t *testing.T) {
	t.Parallel()
	for range 5 {
		k := newRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
		c := dialUDP(t, k)
		serves(t, c)
		const n = 20
		query := queryOf(t, "bad.example.", dns.TypeA)
		for range n {
			send(t, c, query)
		}
		if got := len(k.hits(t)); got != n+1 {
			t.Errorf("%d hits, expected %d", got, n+1)
		}
		for range n {
			receive(t, c)
		}
	}
}

// With nobody who reads, half of the time that a shutdown has is given to the
// reading; with a reader no more than it takes.
func TestDrainWaitsForTheReader(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what a socket holds")
	}
	k := newRig(t, rigOptions{idle: true})
	send(t, dialUDP(t, k), queryOf(t, "bad.example.", dns.TypeA))
	const given = 40 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), given)
	defer cancel()
	start := time.Now()
	if k.listener.udp[0].drain(ctx); time.Since(start) < given/2 || ctx.Err() != nil && time.Since(start) < given {
		t.Errorf("drained in %v, expected half of %v", time.Since(start), given)
	}
	if k.listener.udp[0].waiting() == 0 {
		t.Error("the socket holds nothing, although nobody has read")
	}
	k.listener.Serve()
	k.listener.udp[0].drain(context.Background())
	if n := k.listener.udp[0].waiting(); n != 0 {
		t.Errorf("the socket holds %d octets", n)
	}
}

// heldRig has an upstream that answers when it is released, and a query that
// waits for it over UDP and TCP each.
func heldRig(t *testing.T) (k *rig, clients []net.Conn, release func()) {
	t.Helper()
	z := newZone(t, trapZone+";! good.example. A hold\nother.example. A 192.0.2.2\n;! other.example. A hold\n")
	released := make(chan struct{})
	z.release(func() bool {
		select {
		case <-released:
			return true
		default:
			return false
		}
	})
	k = newRig(t, rigOptions{servers: []string{z.addr}})
	clients = []net.Conn{dialUDP(t, k), dialTCP(t, k)}
	send(t, clients[0], queryOf(t, "good.example.", dns.TypeA))
	send(t, clients[1], queryOf(t, "other.example.", dns.TypeA))
	eventually(t, "two queries wait", func() bool { return k.Stats().Waiting == 2 })
	return k, clients, sync.OnceFunc(func() { close(released) })
}

func TestShutdownWaitsForUpstreams(t *testing.T) {
	t.Parallel()
	k, clients, release := heldRig(t)
	stopped := make(chan struct{})
	go func() {
		k.stop()
		close(stopped)
	}()
	eventually(t, "no new connection is taken", func() bool {
		c, err := net.Dial("tcp", k.listener.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case <-stopped:
		t.Fatal("stopped with queries that wait")
	default:
	}
	release()
	for _, c := range clients {
		if reply := receive(t, c); wire.Flags(reply)&wire.RCodeMask != 0 {
			t.Errorf("reply %x, expected an answer", reply)
		}
	}
	<-stopped
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	t.Parallel()
	k, _, release := heldRig(t)
	defer release()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := k.listener.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, expected that the time was too short", err)
	}
	release()
	eventually(t, "no query waits", func() bool { return k.Stats().Waiting == 0 })
	k.listener.done.Wait()
}

func TestShutdownOfAListenerThatNeverServed(t *testing.T) {
	t.Parallel()
	k := newRig(t, rigOptions{idle: true})
	check(t, k.listener.Shutdown(context.Background()))
	again, err := k.Listen(k.listener.Addr(), false)
	if err != nil {
		t.Errorf("the address is not free: %v", err)
	} else {
		check(t, again.Close())
	}
}

func TestShutdownLeavesNoGoroutine(t *testing.T) {
	k := trapRig(t)
	for range 20 {
		serves(t, dialUDP(t, k))
		serves(t, dialTCP(t, k))
		dialTCP(t, k)
	}
	k.stop()
	eventually(t, "no goroutine of the listener is left", func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !strings.Contains(string(stacks), "resolver.(*Listener)") && !strings.Contains(string(stacks), "resolver.(*packetConn)") &&
			!strings.Contains(string(stacks), "resolver.(*stream)") && !strings.Contains(string(stacks), "resolver.(*handler)")
	})
	if n := k.connections.n.Load(); n != 0 {
		t.Errorf("%d connections counted as open", n)
	}
}

// A socket that fails for good ends its server, which says so.
func TestFailedTellsOfALostSocket(t *testing.T) {
	t.Parallel()
	k := trapRig(t)
	check(t, k.listener.udp[0].Close())
	select {
	case err := <-k.listener.Failed():
		if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), k.listener.Addr().String()) {
			t.Errorf("%v, expected the address and the reason", err)
		}
	case <-time.After(patience):
		t.Fatal("nothing was said")
	}
	serves(t, dialTCP(t, k)) // TCP goes on
}
