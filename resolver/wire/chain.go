package wire

import (
	"encoding/binary"
	"slices"
)

// chainName is a name on the CNAME chain of a reply.
type chainName struct {
	hash   uint64
	off    uint16 // where it stands in the message
	labels uint8
}

func (q *question) covers(rec *record) bool {
	return q.asked && (rec.class == q.class || q.class == ClassANY)
}

// followChain marks the answers that belong: those of the name asked for and of
// each name that a CNAME record of an earlier one leads to, whatever order
// they stand in. It says whether one of them is of the type asked for.
func (r *Reply) followChain(msg []byte, q question) (found bool) {
	if !q.asked {
		return false
	}
	answers := r.records[:r.Answers]
	dnames := slices.ContainsFunc(answers, func(rec record) bool { return isDNAME(msg, &rec) })
	r.chain = append(r.chain, q.name)
	for i := 0; i < len(r.chain); i++ {
		at := r.chain[i]
		if dnames {
			r.markDNAMEs(msg, &q, at)
		}
		for j := range answers {
			rec := &answers[j]
			if rec.owner != at.hash || !q.covers(rec) {
				continue
			}
			rec.belongs = true
			r.addTriggerNames(msg, rec)
			found = found || rec.typ == q.typ || q.typ == TypeANY
			if rec.typ == TypeCNAME {
				r.extendChain(msg, int(rec.rdata))
			}
		}
	}
	return found
}

func (r *Reply) extendChain(msg []byte, off int) {
	if len(r.chain) == MaxChain {
		return
	}
	var name [MaxName]byte
	n, labels, _, _ := r.starts.unpack(&name, msg, off) // checked by parseRecord
	next := chainName{hash: r.hash(name[:n]), off: uint16(off), labels: uint8(labels)}
	if !r.onChain(next.hash) {
		r.chain = append(r.chain, next)
	}
}

func (r *Reply) onChain(hash uint64) bool {
	return slices.ContainsFunc(r.chain, func(c chainName) bool { return c.hash == hash })
}

// markDNAMEs marks the DNAME records above a name on the chain, and their
// signatures. The name that such a record leads to comes with the CNAME record
// that servers synthesize from it (RFC 6672 section 3.1).
func (r *Reply) markDNAMEs(msg []byte, q *question, at chainName) {
	var above [MaxName / 2]uint64 // by number of labels
	r.ancestors(msg, at, func(labels int, hash uint64) { above[labels] = hash })
	answers := r.records[:r.Answers]
	for j := range answers {
		rec := &answers[j]
		if rec.labels < at.labels && rec.owner == above[rec.labels] && q.covers(rec) && isDNAME(msg, rec) {
			rec.belongs = true
			r.addTriggerNames(msg, rec)
		}
	}
}

func isDNAME(msg []byte, rec *record) bool {
	return rec.typ == TypeDNAME || rec.typ == TypeRRSIG && binary.BigEndian.Uint16(msg[rec.rdata:]) == TypeDNAME
}

// ancestors calls f with the hash of each name above at, and with its number of
// labels, up to the root; at itself is left out.
func (r *Reply) ancestors(msg []byte, at chainName, f func(labels int, hash uint64)) {
	var name [MaxName]byte
	n, labels, _, _ := r.starts.unpack(&name, msg, int(at.off)) // checked by parseRecord
	for s := Parent(name[:n]); s != nil; s = Parent(s) {
		labels--
		f(labels, r.hash(s))
	}
}

// markAuthority marks the authority records that belong, and reads the SOA
// record of a negative answer. Zone data must be of a zone that a name on the
// chain lies in; proofs (DNSSEC) stand for themselves, whoever validates sees
// through a false one.
func (r *Reply) markAuthority(msg []byte, q question) {
	authorities := r.records[r.Answers:][:r.Authorities]
	if len(authorities) == 0 || !q.asked {
		return
	}
	for _, at := range r.chain {
		r.related = append(r.related, at.hash)
		r.ancestors(msg, at, func(_ int, hash uint64) { r.related = append(r.related, hash) })
	}
	slices.Sort(r.related)
	for i := range authorities {
		rec := &authorities[i]
		if !q.covers(rec) {
			continue
		}
		switch rec.typ {
		case TypeNSEC, TypeNSEC3, TypeRRSIG, TypeDS:
			rec.belongs = true
		case TypeSOA, TypeNS:
			_, rec.belongs = slices.BinarySearch(r.related, rec.owner)
		}
		if rec.typ == TypeSOA && rec.belongs && !r.HasSOA {
			r.HasSOA = true
			r.NegativeTTL = min(ttlAt(msg, int(rec.ttlOffset())), ttlAt(msg, int(rec.end)-4))
		}
	}
}

// markAdditional marks the additional records of names on the chain or mentioned
// by records that belong, additional ones included (SRV of a PTR, addresses of
// a SRV).
func (r *Reply) markAdditional(msg []byte, q question) {
	const passes = 3 // as long as the longest honest series: PTR, SRV, A
	others, extra := r.records[:r.Answers+r.Authorities], r.records[r.Answers+r.Authorities:]
	if len(extra) == 0 || !q.asked {
		return
	}
	r.related = r.related[:0]
	for _, at := range r.chain {
		r.related = append(r.related, at.hash)
	}
	for i := range others {
		r.addMentioned(msg, &others[i])
	}
	for range passes {
		slices.Sort(r.related)
		before := len(r.related)
		for i := range extra {
			rec := &extra[i]
			if rec.belongs || !q.covers(rec) {
				continue
			}
			if _, ok := slices.BinarySearch(r.related[:before], rec.owner); ok {
				rec.belongs = true
				r.addMentioned(msg, rec)
			}
		}
		if len(r.related) == before {
			return
		}
	}
}

// addMentioned adds the names in the data of a record that belongs to
// r.related.
func (r *Reply) addMentioned(msg []byte, rec *record) {
	if !rec.belongs {
		return
	}
	l, _ := layoutOf(rec.typ, msg[rec.rdata:rec.end])
	off := int(rec.rdata) + l.skip
	var name [MaxName]byte
	for range l.names {
		n, _, next, _ := r.starts.unpack(&name, msg, off) // checked by parseRecord
		r.related = append(r.related, r.hash(name[:n]))
		off = next
	}
}
