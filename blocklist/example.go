package blocklist

import (
	"net/netip"
	"time"

	"sinkhole/blocklist/format"
)

// Example is a listed name that a person can try, "" if there is none.
func (p *Policy) Example() string {
	now := time.Now().Unix()
	for at := range p.names.each() {
		var v Verdict
		if p.JudgeQuestion(netip.Addr{}, p.names.name(at), now, &v); v.Decision == Enforce {
			return format.Text(p.names.name(at))
		}
	}
	return ""
}
