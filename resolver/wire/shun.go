package wire

import (
	"encoding/binary"
	"net/netip"
)

// Shun makes strays of the records of msg, the message that r describes, that have an
// address of which bad says so: A and AAAA records, SVCB and HTTPS records with a
// hint; and of the signatures of the sets that they are missed in. It reports whether
// there is one.
func (r *Reply) Shun(msg []byte, bad func(netip.Addr) bool) (shunned bool) {
	if !anyOf(r.Addrs, bad) {
		return false
	}
	whole := len(r.Addrs)
	for i := range r.records {
		rec := &r.records[i]
		if !rec.belongs || rec.section == authority {
			continue
		}
		r.addTriggerAddrs(msg, rec)
		if anyOf(r.Addrs[whole:], bad) {
			r.stray(rec)
			r.shunSignatures(msg, rec)
			shunned = true
		}
		r.Addrs = r.Addrs[:whole]
	}
	return shunned
}

func anyOf(addrs []netip.Addr, bad func(netip.Addr) bool) bool {
	for _, a := range addrs {
		if bad(a) {
			return true
		}
	}
	return false
}

func (r *Reply) stray(rec *record) {
	if rec.belongs {
		rec.belongs = false
		r.Strays++
	}
}

func (r *Reply) shunSignatures(msg []byte, of *record) {
	for i := range r.records {
		rec := &r.records[i]
		if rec.typ == TypeRRSIG && rec.owner == of.owner && rec.section == of.section && binary.BigEndian.Uint16(msg[rec.rdata:]) == of.typ {
			r.stray(rec)
		}
	}
}
