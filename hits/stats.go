package hits

import "sync/atomic"

// Stats is the account of a journal since Open. Always true:
//
//	Verdicts = Journaled + Queued + Lost
//	Connections = ConnectionsJournaled + ConnectionsQueued + ConnectionsLost
type Stats struct {
	Verdicts  uint64 // hits recorded
	Journaled uint64 // hits in lines that were written: the sum of their counts
	Queued    uint64 // hits in queues, merge tables and the unwritten buffer
	Lost      uint64 // the sum of the four below

	LostQueueFull uint64 // the queue was full: the writer could not keep up
	LostClosed    uint64 // recorded after Close
	LostClients   uint64 // more than [MaxMergedClients] clients merged in a second
	LostWrite     uint64 // a write failed

	Lines       uint64 // hit lines written
	MergedLines uint64 // of them, lines that stand for several hits
	MergedHits  uint64 // hits in merged lines

	Connections          uint64 // to the landing, recorded
	ConnectionsJournaled uint64 // in lines that were written
	ConnectionsQueued    uint64 // in their queue and the unwritten buffer
	ConnectionsLost      uint64 // the queue was full or closed, or a write failed

	Segments int   // on disk, the one being written included
	Bytes    int64 // size of the segments on disk, in octets

	RetentionRemovedSegments uint64
	RetentionRemovedBytes    uint64

	SyncErrors     uint64
	WriteErrors    uint64 // failed attempts to write or to open a segment
	CompressErrors uint64
	ChainErrors    uint64 // failed attempts to link closed segments, see Verify
}

// Stats returns the account at this moment. It is cheap and never waits.
func (j *Journal) Stats() Stats {
	c := &j.count
	s := Stats{
		// Before the queues: a hit is counted there first, so Queued is never
		// negative.
		Journaled:   c.journaled.Load(),
		LostClients: c.lostClients.Load(),
		LostWrite:   c.lostWrite.Load(),

		Lines: c.lines.Load(), MergedLines: c.mergedLines.Load(), MergedHits: c.mergedHits.Load(),
		Segments: int(c.closedSegments.Load() + c.activeSegments.Load()),
		Bytes:    c.closedBytes.Load() + c.activeBytes.Load(),

		RetentionRemovedSegments: c.removedSegments.Load(),
		RetentionRemovedBytes:    c.removedBytes.Load(),
		SyncErrors:               c.syncErrors.Load(),
		WriteErrors:              c.writeErrors.Load(),
		CompressErrors:           c.compressErrors.Load(),
		ChainErrors:              c.chainErrors.Load(),
	}
	var taken uint64
	for _, q := range *j.queues.Load() {
		s.LostQueueFull += q.full.Load()
		s.LostClosed += q.late.Load()
		taken += q.taken()
	}
	s.Lost = s.LostQueueFull + s.LostClosed + s.LostClients + s.LostWrite
	s.Verdicts = taken + s.LostQueueFull + s.LostClosed
	s.Queued = s.Verdicts - s.Journaled - s.Lost
	s.ConnectionsJournaled, s.ConnectionsLost = c.landed.Load(), c.landingsLost.Load()
	s.Connections = j.landings.recorded.Load() // last: never less than what became of them
	s.ConnectionsQueued = s.Connections - s.ConnectionsJournaled - s.ConnectionsLost
	return s
}

// counters are what the writer and the housekeeper count; what producers count
// stands in their queues.
type counters struct {
	journaled, lostClients, lostWrite atomic.Uint64
	lines, mergedLines, mergedHits    atomic.Uint64

	closedSegments, activeSegments, closedBytes, activeBytes atomic.Int64

	removedSegments, removedBytes           atomic.Uint64
	syncErrors, writeErrors, compressErrors atomic.Uint64
	chainErrors                             atomic.Uint64
	landed, landingsLost                    atomic.Uint64
}
