package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one mistake in a configuration file. Message says what was found,
// what was expected and what to do.
type Fault struct {
	File    string
	Line    int // 1-based; 0 where the file as a whole is meant
	Column  int // 1-based, in characters
	Key     string
	Message string
}

func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": ")
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// Faults is every mistake of one file, by position; the last one may give the
// number of those left out. It is the error that
// [Load] and [Parse] return for a file that can be read but not be used.
type Faults []Fault

// Error gives one line for each fault: file:line:column: key: message.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// maxFaults bounds what a file that is no configuration at all can say.
const maxFaults = 200

// arranged is the faults by position, and beyond maxFaults their number.
func (f Faults) arranged() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	if more := len(f) - maxFaults; more > 0 {
		f = append(f[:maxFaults:maxFaults], Fault{File: f[0].File, Message: fmt.Sprintf("%d more faults; mend these first", more)})
	}
	return f
}
