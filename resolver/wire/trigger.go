package wire

import "net/netip"

// collectTriggers fills Names with what followChain left out, and Addrs.
func (r *Reply) collectTriggers(msg []byte) error {
	for i := range r.records {
		rec := &r.records[i]
		if rec.section == authority {
			continue
		}
		r.addTriggerNames(msg, rec)
		r.addTriggerAddrs(msg, rec)
	}
	if len(r.NameKinds) > MaxTriggers {
		return errTriggers
	}
	return nil
}

// addTriggerNames adds the target of a record to Names, once. It stops adding
// when there are too many, which collectTriggers then reports.
func (r *Reply) addTriggerNames(msg []byte, rec *record) {
	if rec.seen || len(r.NameKinds) > MaxTriggers {
		return
	}
	rec.seen = true
	off, kind := int(rec.rdata), KindAlias
	switch {
	case rec.typ == TypeCNAME, rec.typ == TypeDNAME:
	case rec.svcb():
		off, kind = off+2, KindTarget
	default:
		return
	}
	var name [MaxName]byte
	n, labels, _, _ := r.starts.unpack(&name, msg, off) // checked by parseRecord
	if kind == KindTarget && labels == 0 {
		return
	}
	r.Names = append(r.Names, name[:n]...)
	r.NameKinds = append(r.NameKinds, kind)
}

func (r *Reply) addTriggerAddrs(msg []byte, rec *record) {
	rdata := msg[rec.rdata:rec.end]
	switch {
	case rec.svcb():
		r.addHints(rdata[2:])
	case rec.class != ClassIN:
	case rec.typ == TypeA:
		r.addAddrs(rdata, 4)
	case rec.typ == TypeAAAA:
		r.addAddrs(rdata, 16)
	}
}

func (r *Reply) addHints(target []byte) {
	for params := target[NameLen(target):]; ; {
		key, value, rest, ok := nextSVCParam(params)
		if !ok {
			return
		}
		switch key {
		case svcParamIPv4Hint:
			r.addAddrs(value, 4)
		case svcParamIPv6Hint:
			r.addAddrs(value, 16)
		}
		params = rest
	}
}

// addAddrs adds addresses of size octets that stand one after the other.
func (r *Reply) addAddrs(octets []byte, size int) {
	for ; len(octets) >= size; octets = octets[size:] {
		addr, _ := netip.AddrFromSlice(octets[:size])
		r.Addrs = append(r.Addrs, addr.Unmap())
	}
}
