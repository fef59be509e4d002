package blocklist

import "sinkhole/blocklist/format"

// Example is a listed name that a person can try, "" if there is none.
func (p *Policy) Example() string {
	for at := range p.names.each() {
		first, n := p.names.rules(at)
		for i := first; i < first+n; i++ {
			if r := &p.rules[i]; !p.ListOf(i).Allow && r.kind != kindBelow && r.action != format.PassThru && r.action != format.Log {
				return format.Text(p.names.name(at))
			}
		}
	}
	return ""
}
