package feed

import (
	"fmt"
	"io"
)

// Sum is what the increments of the copy that came after a serial do together: it
// leads from there to Serial. A serial that the zone did not have is an
// [ErrIncrement].
func (z *ZoneCopy) Sum(from uint32) (Delta, error) {
	sum := Delta{From: from, To: z.Serial}
	all, soa, err := z.since(from)
	if err != nil {
		return Delta{}, err
	}
	sum.SOA = soa.wire
	sum.Removed, sum.Added = all.result()
	return sum, nil
}

// since are the changes after a serial, and the SOA record after the last of them;
// none if there are none.
func (z *ZoneCopy) since(from uint32) (all changes, soa record, err error) {
	found := false
	for d := range z.All() {
		if found = found || d.From == from; !found {
			continue
		}
		if err := all.apply(d); err != nil {
			return all, soa, err
		}
		soa, _ = asSOA(d.SOA) // as found when it was opened
	}
	if !found && from != z.Serial {
		err = fmt.Errorf("%w: they do not lead on from the serial %d", ErrIncrement, from)
	}
	return all, soa, err
}

// Text is the zone after all increments, a master file like that of the copy. It
// reads the Content, so it can be had once.
func (z *ZoneCopy) Text() (io.Reader, error) {
	if z.Increments == 0 {
		return z.Content, nil
	}
	all, soa, err := z.since(z.Base)
	if err != nil {
		return nil, err
	}
	return changedText(z.Content, soa.name(), soa, &all)
}
