package blocklist

import (
	"net/netip"
	"slices"

	"sinkhole/blocklist/format"
	"sinkhole/blocklist/guard"
)

// nftables writes the addresses that are blocked in answers as two sets, without
// what is exempt inside a longer prefix and without special-use addresses: what is
// right in answers, as protection against DNS rebinding, would cut off the local
// network here. The file can be loaded again and again: each time the sets are
// emptied first, in one transaction.
func (x *exporter) nftables() error {
	if err := x.printf("%s%s", x.marks("#", format.ResponseIP), nftHead); err != nil {
		return err
	}
	r := ranges{exporter: x, special: guard.SpecialUse()}
	if err := x.eachPrefix(&x.policy.answers, false, r.enter); err != nil {
		return err
	}
	return r.finish()
}

const nftHead = `# Addresses that are blocked: load with "nft -f FILE", and use them in a rule such as
#   ip daddr @sinkhole4 counter reject
#   ip6 daddr @sinkhole6 counter reject
add table inet sinkhole
add set inet sinkhole sinkhole4 { type ipv4_addr; flags interval; }
add set inet sinkhole sinkhole6 { type ipv6_addr; flags interval; }
flush set inet sinkhole sinkhole4
flush set inet sinkhole sinkhole6
`

// ranges turns prefixes in order, each before those that it covers, into ranges
// of addresses that do not overlap.
type ranges struct {
	*exporter
	special []netip.Prefix // is left out; in order
	open    []openPrefix   // those that cover where we are
	next    netip.Addr     // the first address that nothing was said about yet

	// The range that is being put together; invalid: none.
	first, last netip.Addr
	inCommand   int
	v6          bool
}

type openPrefix struct {
	netip.Prefix
	blocked bool
}

// specialAddresses is what is left out of prefixes, wholly or in part.
const specialAddresses = "special-use addresses (private, loopback, multicast and the like)"

// perCommand bounds the ranges of one nft command.
const perCommand = 500

func (r *ranges) enter(prefix netip.Prefix, by, _ ruling) error {
	for len(r.open) > 0 && !r.open[len(r.open)-1].Contains(prefix.Addr()) {
		if err := r.leave(); err != nil {
			return err
		}
	}
	if len(r.open) > 0 && r.next.Less(prefix.Addr()) {
		if err := r.say(r.next, prefix.Addr().Prev(), r.open[len(r.open)-1].blocked); err != nil {
			return err
		}
	}
	if by.blocks() && slices.ContainsFunc(r.special, prefix.Overlaps) {
		r.leaveOut(specialAddresses)
	}
	r.open = append(r.open, openPrefix{prefix, by.blocks()})
	r.next = prefix.Addr()
	return nil
}

// leave ends the innermost prefix.
func (r *ranges) leave() error {
	p := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]
	last := lastAddr(p.Prefix)
	if r.next.IsValid() && !last.Less(r.next) {
		if err := r.say(r.next, last, p.blocked); err != nil {
			return err
		}
	}
	r.next = last.Next() // invalid behind the last address of all
	return nil
}

// say adds a range, but for what of it is special.
func (r *ranges) say(first, last netip.Addr, blocked bool) error {
	if !blocked {
		return nil
	}
	for _, block := range r.special {
		from, to := block.Addr(), lastAddr(block)
		if from.BitLen() != first.BitLen() || to.Less(first) || last.Less(from) {
			continue
		}
		if first.Less(from) {
			if err := r.add(first, from.Prev()); err != nil {
				return err
			}
		}
		if first = to.Next(); !first.IsValid() || last.Less(first) {
			return nil
		}
	}
	return r.add(first, last)
}

// add adds a range, joined to the one before where they touch.
func (r *ranges) add(first, last netip.Addr) error {
	if r.last.IsValid() && r.last.Next() == first {
		r.last = last
		return nil
	}
	if err := r.put(); err != nil {
		return err
	}
	r.first, r.last = first, last
	return nil
}

// put writes the range that is complete.
func (r *ranges) put() error {
	if !r.first.IsValid() {
		return nil
	}
	before := ", "
	switch v6 := r.first.Is6(); {
	case r.inCommand == 0 || v6 != r.v6 || r.inCommand == perCommand:
		set := "sinkhole4"
		if v6 {
			set = "sinkhole6"
		}
		before = "add element inet sinkhole " + set + " { "
		if r.inCommand > 0 {
			before = " }\n" + before
		}
		r.inCommand, r.v6 = 0, v6
	}
	r.inCommand++
	r.done.Entries++
	if r.first == r.last {
		return r.printf("%s%s", before, r.first)
	}
	return r.printf("%s%s-%s", before, r.first, r.last)
}

func (r *ranges) finish() error {
	for len(r.open) > 0 {
		if err := r.leave(); err != nil {
			return err
		}
	}
	if err := r.put(); err != nil {
		return err
	}
	if r.inCommand > 0 {
		if err := r.printf(" }\n"); err != nil {
			return err
		}
	}
	if n := r.done.LeftOut[specialAddresses]; n > 0 {
		return r.printf("# left out: %s in %d of the prefixes that are blocked in answers\n", specialAddresses, n)
	}
	return nil
}

// lastAddr is the last address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	octets := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(octets); i++ {
		octets[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(octets)
	return last
}
