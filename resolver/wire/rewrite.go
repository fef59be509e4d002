package wire

import (
	"encoding/binary"
	"errors"
	"slices"
)

var errGrown = errors.New("the reply grows beyond 65535 octets without its stray records")

// Strip returns msg, the message that r describes, without its OPT record. Where
// that is the last record, as it nearly always is, msg is shortened in place;
// else a new message is built. r describes the result: its offsets are right
// for it, and what the OPT record said stays in RCode, UDPSize, DO and EDE.
func (r *Reply) Strip(msg []byte) []byte {
	if r.OPTLen == 0 {
		return msg
	}
	if r.OPTOffset+r.OPTLen != len(msg) {
		// Cannot fail: without the OPT record nothing moves towards the end, and
		// no pointer leads into it.
		msg, _ = r.rebuild(msg, false, true)
	} else {
		msg = msg[:r.OPTOffset]
		binary.BigEndian.PutUint16(msg[atAdditional:], r.Additionals)
	}
	r.OPTOffset, r.OPTLen = 0, 0
	return msg
}

// Scrub returns msg, the message that r describes, without its stray records;
// msg itself if there are none, else a new message. r describes the result.
func (r *Reply) Scrub(msg []byte) ([]byte, error) {
	if r.Strays == 0 {
		return msg, nil
	}
	return r.rebuild(msg, true, false)
}

// rebuild copies msg without its stray records, its OPT record, or both, and
// parses the result.
func (r *Reply) rebuild(msg []byte, noStrays, noOPT bool) ([]byte, error) {
	w := rewriter{old: msg, out: make([]byte, 0, len(msg))}
	w.copy(0, r.QuestionEnd)
	var counts [3]uint16
	opt := r.OPTLen != 0 && !noOPT
	for i := range r.records {
		rec := &r.records[i]
		if opt && int(rec.start) > r.OPTOffset {
			w.copy(r.OPTOffset, r.OPTOffset+r.OPTLen)
			opt = false
		}
		if noStrays && !rec.belongs {
			continue
		}
		w.record(rec)
		counts[rec.section]++
	}
	if opt {
		w.copy(r.OPTOffset, r.OPTOffset+r.OPTLen)
	}
	if r.OPTLen != 0 && !noOPT {
		counts[additional]++
	}
	if len(w.out) > MaxMessage {
		return nil, errGrown
	}
	SetCounts(w.out, counts[answer], counts[authority], counts[additional])

	was := *r
	if err := r.Parse(w.out); err != nil {
		return nil, err
	}
	r.RCode, r.UDPSize, r.DO = was.RCode, was.UDPSize, was.DO
	r.HasEDE, r.EDECode, r.EDEText = was.HasEDE, was.EDECode, was.EDEText
	return w.out, nil
}

// rewriter copies parts of one message to another and redirects the compression
// pointers in what it copies. What a pointer leads to is in the new message
// too, or is spelled out.
type rewriter struct {
	old, out []byte
	runs     []run // in the order of old
}

// run is a stretch of the old message that stands unchanged in the new one.
type run struct{ from, to, at int }

func (w *rewriter) copy(from, to int) {
	if n := len(w.runs); n > 0 && w.runs[n-1].to == from && w.runs[n-1].at+from-w.runs[n-1].from == len(w.out) {
		w.runs[n-1].to = to
	} else if from < to {
		w.runs = append(w.runs, run{from, to, len(w.out)})
	}
	w.out = append(w.out, w.old[from:to]...)
}

// moved is the offset in the new message of the label at off in the old one;
// false where it was not copied, or stands where no pointer reaches.
func (w *rewriter) moved(off int) (at int, ok bool) {
	i, exact := slices.BinarySearchFunc(w.runs, off, func(r run, off int) int { return r.from - off })
	if !exact {
		i--
	}
	if i < 0 || off >= w.runs[i].to {
		return 0, false
	}
	at = w.runs[i].at + off - w.runs[i].from
	return at, at <= maxPointed
}

func (w *rewriter) record(rec *record) {
	off := w.name(int(rec.start))
	w.copy(off, int(rec.rdata))
	rdata := len(w.out)

	l, _ := layoutOf(rec.typ, w.old[rec.rdata:rec.end])
	off = int(rec.rdata) + l.skip
	w.copy(int(rec.rdata), off)
	for range l.names {
		off = w.name(off)
	}
	w.copy(off, int(rec.end))
	binary.BigEndian.PutUint16(w.out[rdata-2:], uint16(len(w.out)-rdata))
}

// name copies the name at off and returns the offset of what follows it.
func (w *rewriter) name(off int) (next int) {
	start := off
	for w.old[off] != 0 && w.old[off] < 0xC0 {
		off += 1 + int(w.old[off])
	}
	if w.old[off] == 0 {
		w.copy(start, off+1)
		return off + 1
	}
	w.copy(start, off)
	// A later pointer to this one finds the same name at its new place.
	w.runs = append(w.runs, run{off, off + 2, len(w.out)})
	w.pointTo(pointerAt(w.old, off))
	return off + 2
}

// pointTo appends a pointer to the name at off in the old message, spelling out
// the labels that were not copied.
func (w *rewriter) pointTo(off int) {
	for {
		if at, ok := w.moved(off); ok {
			w.out = append(w.out, 0xC0|byte(at>>8), byte(at))
			return
		}
		c := int(w.old[off])
		switch {
		case c == 0:
			w.out = append(w.out, 0)
			return
		case c >= 0xC0:
			off = pointerAt(w.old, off)
		default:
			w.out = append(w.out, w.old[off:off+1+c]...)
			off += 1 + c
		}
	}
}

func pointerAt(msg []byte, off int) int {
	return int(binary.BigEndian.Uint16(msg[off:])) & maxPointed
}
