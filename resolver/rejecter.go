package resolver

import (
	"github.com/miekg/dns"

	"sinkhole/resolver/wire"
)

// rejecter sends what the library answers by itself: the header of the query, as it came. It
// keeps of the flags what an error has to say; TC, say, would have the client ask again
// over TCP (RFC 1035 section 4.1.1).
type rejecter struct{ dns.Writer }

func (r rejecter) Write(msg []byte) (int, error) {
	if len(msg) >= wire.HeaderLen {
		wire.SetFlags(msg, wire.Flags(msg)&(wire.QR|wire.OpcodeMask|wire.RD|wire.RCodeMask))
	}
	return r.Writer.Write(msg)
}
