package blocklist

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// references are the URLs that a list gives for its entries, numbered from 0 on
// in the order of the list. They are read only when a hit is written or shown,
// so beyond spillAt octets they lie in a file: a feed that has one for each entry
// would otherwise cost three times the memory of its names.
type references struct {
	source io.ReaderAt
	size   int64
	blocks []int64 // where each run of refBlock references begins
	count  uint32
}

const (
	refBlock = 64
	// maxReference bounds one reference, in octets; what is longer is cut.
	maxReference = 2048
	spillAt      = 256 << 10
	// maxReferences bounds those of one list, in octets: a list must not fill
	// the disk.
	maxReferences = 1 << 30
)

// text reads a reference; "" where the file cannot be read.
func (r *references) text(number uint32) string {
	if number >= r.count {
		return ""
	}
	block := int(number / refBlock)
	end := r.size
	if block+1 < len(r.blocks) {
		end = r.blocks[block+1]
	}
	run := make([]byte, end-r.blocks[block])
	if _, err := r.source.ReadAt(run, r.blocks[block]); err != nil && err != io.EOF {
		return ""
	}
	for range number % refBlock {
		n, width := binary.Uvarint(run)
		if width <= 0 || uint64(len(run)-width) < n {
			return ""
		}
		run = run[width+int(n):]
	}
	n, width := binary.Uvarint(run)
	if width <= 0 || uint64(len(run)-width) < n {
		return ""
	}
	return string(run[width : width+int(n)])
}

// referenceWriter gathers references. One that came shortly before is not kept
// twice. They are evidence: where they cannot be kept, a list blocks without
// them.
type referenceWriter struct {
	dir    string // of the spill file; "": the system's
	done   references
	buffer []byte // not yet in file
	file   *os.File
	fault  error // why none is kept
	beyond int   // left out because of maxReferences

	last          string
	lastNumber    uint32
	recent, older map[string]uint32
}

const recentReferences = 1024

// add numbers a reference; kept is false where it is left out.
func (w *referenceWriter) add(text string) (number uint32, kept bool) {
	if w.fault != nil {
		return 0, false
	}
	if text == w.last && w.done.count > 0 {
		return w.lastNumber, true
	}
	number, found := w.recent[text]
	if !found {
		number, found = w.older[text]
	}
	if !found {
		if len(text) > maxReference {
			text = text[:maxReference]
		}
		if w.done.size > maxReferences-maxReference-binary.MaxVarintLen16 {
			w.beyond++
			return 0, false
		}
		if number = w.append(text); w.fault != nil {
			return 0, false
		}
		if w.recent == nil || len(w.recent) >= recentReferences {
			w.older, w.recent = w.recent, make(map[string]uint32, recentReferences)
		}
		w.recent[text] = number
	}
	w.last, w.lastNumber = text, number
	return number, true
}

func (w *referenceWriter) append(text string) uint32 {
	number := w.done.count
	if number%refBlock == 0 {
		w.done.blocks = append(w.done.blocks, w.done.size)
		w.spill(spillAt)
	}
	before := len(w.buffer)
	w.buffer = binary.AppendUvarint(w.buffer, uint64(len(text)))
	w.buffer = append(w.buffer, text...)
	w.done.size += int64(len(w.buffer) - before)
	w.done.count++
	return number
}

// spill moves the buffer to the file once it holds at least so much.
func (w *referenceWriter) spill(least int) {
	if len(w.buffer) < least || w.fault != nil {
		return
	}
	if w.file == nil {
		file, err := os.CreateTemp(w.dir, ".references-*")
		if err != nil && w.dir != "" {
			file, err = os.CreateTemp("", ".references-*")
		}
		if err != nil {
			w.fault = err
			return
		}
		os.Remove(file.Name()) // it lives as long as the policy that reads it
		w.file = file
	}
	_, w.fault = w.file.Write(w.buffer)
	w.buffer = w.buffer[:0]
}

// finish gives the references. The file is closed when nothing refers to them
// any more.
func (w *referenceWriter) finish() references {
	if w.file == nil && w.fault == nil {
		w.done.source = bytes.NewReader(bytes.Clone(w.buffer))
		return w.done
	}
	w.spill(1)
	if w.fault != nil {
		w.discard()
		return references{}
	}
	w.done.source = w.file // os.File has a finalizer
	return w.done
}

// warning says what is not kept; "" where all is.
func (w *referenceWriter) warning() string {
	switch {
	case w.fault != nil:
		return fmt.Sprintf("no reference of its entries is kept (%v): give list_store, or the directory for temporary files, room for them", w.fault)
	case w.beyond > 0:
		return fmt.Sprintf("%d entries without their reference: expected at most %d MiB of references in a list", w.beyond, maxReferences>>20)
	}
	return ""
}

// discard drops what was gathered.
func (w *referenceWriter) discard() {
	if w.file != nil {
		w.file.Close()
	}
}
