package format

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

const (
	// fewMalformed is how many malformed lines a list may have whatever the
	// number of good ones.
	fewMalformed = 100
	// manyMalformed ends the reading of what is evidently no list early.
	manyMalformed = 10_000
	// maxFaultText bounds Fault.Text, in characters.
	maxFaultText = 120
)

// sink takes what the readers of the notations find and counts it.
type sink struct {
	emit   func(*Indicator)
	fault  func(Fault)
	result Result
	ind    Indicator
	order  uint8 // the Precedence of entries that state none
}

// indicator is a fresh one, to be filled in and handed to put.
func (s *sink) indicator(line int) *Indicator {
	s.ind = Indicator{Line: line, Confidence: -1, Precedence: s.order}
	return &s.ind
}

func (s *sink) put() {
	s.result.Entries++
	s.emit(&s.ind)
}

// takeBack hands out the indicator as one that the list takes back.
func (s *sink) takeBack() {
	s.ind.TakesBack = true
	s.emit(&s.ind)
}

// leaveOut reports an entry that the list is read without. The column is
// 1-based, 0 for the line as a whole.
func (s *sink) leaveOut(line, column int, text []byte, p problem) {
	f := Fault{Line: line, Column: column, Text: printable(text), Reason: p.reason}
	switch p.class {
	case classMalformed:
		s.result.Malformed++
	case classRefused:
		s.result.Refused++
		f.Refused = true
	case classNotApplicable:
		s.result.NotApplicable++
		f.Refused, f.NotApplicable = true, true
	}
	s.fault(f)
}

func (s *sink) warn(format string, args ...any) {
	s.result.Warnings = append(s.result.Warnings, fmt.Sprintf(format, args...))
}

// hopeless says early that this is no list, so that garbage of any length is
// not read to its end.
func (s *sink) hopeless() bool {
	return s.result.Malformed >= manyMalformed && s.result.Malformed > s.understood()
}

// understood counts the entries that were, used or left out on purpose.
func (s *sink) understood() int {
	return s.result.Entries + s.result.Refused + s.result.NotApplicable
}

// verdict judges the list as a whole.
func (s *sink) verdict() error {
	r := &s.result
	switch {
	case r.Malformed > 0 && r.Entries == 0:
		return fmt.Errorf("no usable entry and %d malformed lines, expected the %s notation", r.Malformed, r.Kind)
	case r.Malformed >= fewMalformed && r.Malformed > s.understood():
		return fmt.Errorf("%d malformed lines and only %d entries: is this a list in the %s notation?", r.Malformed, r.Entries, r.Kind)
	case r.Entries == 0 && r.NotApplicable > 0:
		s.warn("no usable entry: %d were refused and %d are not applicable in DNS", r.Refused, r.NotApplicable)
	case r.Entries == 0 && r.Refused > 0:
		s.warn("no usable entry: all %d were refused", r.Refused)
	}
	return nil
}

// problem is why an entry is left out; its zero value is none.
type problem struct {
	reason string
	class  faultClass
	at     int // octets into the text, where known
}

// faultClass is what Fault.Refused and Fault.NotApplicable tell.
type faultClass uint8

const (
	classMalformed faultClass = iota
	classRefused
	classNotApplicable
)

func (p problem) is() bool { return p.reason != "" }

func malformed(format string, args ...any) problem {
	if len(args) == 0 {
		return problem{reason: format}
	}
	return problem{reason: fmt.Sprintf(format, args...)}
}

func refused(reason string) problem { return problem{reason: reason, class: classRefused} }

func notApplicable(reason string) problem {
	return problem{reason: reason, class: classNotApplicable}
}

var errEmpty = errors.New("empty: 0 bytes, expected entries; a list without entries needs at least a comment line")

// printable makes a text fit to be shown: what does not print becomes U+FFFD,
// and what is too long ends in an ellipsis.
func printable(text []byte) string {
	if len(text) <= maxFaultText && plain(text) {
		return string(text)
	}
	out := make([]rune, 0, maxFaultText)
	for len(text) > 0 {
		if len(out) == maxFaultText {
			out[maxFaultText-1] = '…'
			break
		}
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		switch {
		case r == '\t':
			r = ' '
		case !unicode.IsPrint(r):
			r = unicode.ReplacementChar
		}
		out = append(out, r)
	}
	return string(out)
}

func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
