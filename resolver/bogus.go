package resolver

import (
	"sinkhole/resolver/wire"
)

// withoutBogus is msg, the message that f describes, without the records of a reply that
// has answers and says that there are none: they are what the upstream found wrong with
// validation, or the part of a chain that it got to. Nothing of them may be judged, or a
// rule on an address would make a good answer of a bad one.
func withoutBogus(msg []byte, f *wire.Reply) ([]byte, error) {
	if f.Answers == 0 {
		return msg, nil
	}
	switch f.RCode {
	case wire.RCodeNoError, wire.RCodeNXDomain, wire.RCodeYXDomain:
		return msg, nil
	}
	msg = msg[:f.QuestionEnd]
	wire.SetCounts(msg, 0, 0, 0)
	rcode := f.RCode // its upper bits stood in the OPT
	err := f.Parse(msg)
	f.RCode = rcode
	return msg, err
}
