package resolver

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// turnLook is how often a reader is looked at that has to come round.
const turnLook = time.Millisecond

// Turn waits until every reader of datagrams has come round once more: is done with what
// it had read, and looks for more. A reader that hangs in a query, in a lock or in the
// policy does not, nor does one that has ended. Then the error of ctx is told.
func (l *Listener) Turn(ctx context.Context) error {
	for i, p := range l.udp {
		if err := p.datagrams.turn(ctx); err != nil {
			return fmt.Errorf("reader %d of %s has not come round: %w", i, l.addr, err)
		}
	}
	return nil
}

// turn rouses the reader, and waits until it begins its next round.
func (d *datagrams) turn(ctx context.Context) error {
	before := d.rounds.Load()
	d.rouse()
	look := time.NewTicker(turnLook)
	defer look.Stop()
	for d.rounds.Load() == before {
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// rouse ends the wait that the reader is in.
func (d *datagrams) rouse() {
	d.using.RLock()
	defer d.using.RUnlock()
	if !d.closed {
		_, _ = unix.Write(d.wake, binary.NativeEndian.AppendUint64(nil, 1))
	}
}
