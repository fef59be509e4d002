package feed

import "errors"

// Candidate is a list's new content, complete and on disk, that nobody has
// judged yet.
type Candidate struct {
	Name string // of the list
	Copy
	Path string // of the file, to be read with Open; it keeps this name when accepted or held
	// Again is true for a copy that is held already and is judged once more
	// because someone asked for the list.
	Again bool
}

// Judgement is what becomes of a candidate: [Accept], [Hold] or [Reject].
type Judgement struct {
	verdict verdict
	reason  string
	err     error
}

type verdict uint8

const (
	rejected verdict = iota
	held
	accepted
)

// Accept makes the candidate the last good copy.
func Accept() Judgement { return Judgement{verdict: accepted} }

// Hold keeps the candidate until it is approved; the last good copy stays.
func Hold(reason string) Judgement { return Judgement{verdict: held, reason: reason} }

// Reject throws the candidate away; the last good copy stays. The error says
// why.
func Reject(err error) Judgement {
	if err == nil {
		err = errors.New("no reason was given")
	}
	return Judgement{err: err}
}
