package blocklist

import (
	"net/netip"
	"time"

	"sinkhole/blocklist/format"
)

// Example is a listed name that a person can try, "" if there is none.
func (p *Policy) Example() string {
	now := time.Now().Unix()
	for list := range p.lists {
		for _, entry := range p.entries(list) {
			trigger, name, _ := triggerOf(entry)
			if trigger != format.QName {
				continue
			}
			var v Verdict
			if p.JudgeQuestion(netip.Addr{}, name, now, &v); v.Decision == Enforce {
				return format.Text(name)
			}
		}
	}
	return ""
}
