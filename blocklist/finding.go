package blocklist

import (
	"fmt"
	"strconv"

	"sinkhole/blocklist/format"
)

// maxFindings bounds the lines that are kept of one list with their text, for
// each reason to leave them out; all are counted.
const maxFindings = 10_000

// findings are lines that were left out.
type findings struct {
	shown []Fault
	all   int
}

func (f *findings) add(fault Fault) {
	f.all++
	if len(f.shown) < maxFindings {
		f.shown = append(f.shown, fault)
	}
}

// Fault is a line of a list that was left out.
type Fault struct {
	File string
	// Kind is what an entry that the guard keeps out would harm, as package guard
	// names it; empty for what the notation itself does not allow.
	Kind string `json:",omitempty"`
	format.Fault
}

func (f *Fault) String() string {
	if f.Line == 0 { // of a zone that came in parts
		return f.File + ": " + f.what()
	}
	return f.File + ":" + f.inFile()
}

// inFile is the fault without its file.
func (f *Fault) inFile() string {
	at := strconv.Itoa(f.Line)
	if f.Column > 0 {
		at = fmt.Sprintf("%s:%d", at, f.Column)
	}
	return at + ": " + f.what()
}

// what is the fault without its place.
func (f *Fault) what() string {
	if f.Text == "" {
		return f.Reason
	}
	return fmt.Sprintf("%q: %s", f.Text, f.Reason)
}
