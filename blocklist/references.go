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
// twice.
type referenceWriter struct {
	dir    string // of the spill file; "": the system's
	done   references
	buffer []byte // not yet in file
	file   *os.File

	last          string
	lastNumber    uint32
	recent, older map[string]uint32
}

const recentReferences = 1024

// add numbers a reference.
func (w *referenceWriter) add(text string) (uint32, error) {
	if text == w.last && w.done.count > 0 {
		return w.lastNumber, nil
	}
	number, found := w.recent[text]
	if !found {
		number, found = w.older[text]
	}
	if !found {
		if len(text) > maxReference {
			text = text[:maxReference]
		}
		var err error
		if number, err = w.append(text); err != nil {
			return 0, err
		}
		if w.recent == nil || len(w.recent) >= recentReferences {
			w.older, w.recent = w.recent, make(map[string]uint32, recentReferences)
		}
		w.recent[text] = number
	}
	w.last, w.lastNumber = text, number
	return number, nil
}

func (w *referenceWriter) append(text string) (uint32, error) {
	number := w.done.count
	if number%refBlock == 0 {
		w.done.blocks = append(w.done.blocks, w.done.size)
		if err := w.spill(spillAt); err != nil {
			return 0, err
		}
	}
	before := len(w.buffer)
	w.buffer = binary.AppendUvarint(w.buffer, uint64(len(text)))
	w.buffer = append(w.buffer, text...)
	w.done.size += int64(len(w.buffer) - before)
	w.done.count++
	return number, nil
}

// spill moves the buffer to the file once it holds at least so much.
func (w *referenceWriter) spill(least int) error {
	if len(w.buffer) < least {
		return nil
	}
	if w.file == nil {
		file, err := os.CreateTemp(w.dir, ".references-*")
		if err != nil {
			return fmt.Errorf("no file for the references of the list: %w", err)
		}
		os.Remove(file.Name()) // it lives as long as the policy that reads it
		w.file = file
	}
	if _, err := w.file.Write(w.buffer); err != nil {
		return fmt.Errorf("writing the references of the list: %w", err)
	}
	w.buffer = w.buffer[:0]
	return nil
}

// finish gives the references. The file is closed when nothing refers to them
// any more.
func (w *referenceWriter) finish() (references, error) {
	if w.file == nil {
		w.done.source = bytes.NewReader(bytes.Clone(w.buffer))
		return w.done, nil
	}
	if err := w.spill(1); err != nil {
		return references{}, err
	}
	w.done.source = w.file // os.File has a finalizer
	return w.done, nil
}

// discard drops what was gathered.
func (w *referenceWriter) discard() {
	if w.file != nil {
		w.file.Close()
	}
}
