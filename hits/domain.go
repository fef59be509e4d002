package hits

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

// registeredDomain is the part of a presentation-form name that someone
// registered: the public suffix and one label; "" for a public suffix itself
// and for a name that is none.
func registeredDomain(name string) string {
	if name == "" || name == "." {
		return ""
	}
	if !strings.Contains(name, `\`) {
		d, err := publicsuffix.EffectiveTLDPlusOne(name)
		if err != nil {
			return ""
		}
		return d
	}
	// The library cuts at every dot: hide the escaped octets, and cut the name
	// at the same label.
	d, err := publicsuffix.EffectiveTLDPlusOne(hideEscapes(name))
	if err != nil {
		return ""
	}
	return lastLabels(name, strings.Count(d, ".")+1)
}

// hideEscapes replaces each escaped octet by one letter.
func hideEscapes(name string) string {
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '\\' {
			c = 'x'
			if i++; i < len(name) && '0' <= name[i] && name[i] <= '9' {
				i += 2
			}
		}
		out = append(out, c)
	}
	return string(out)
}

func lastLabels(name string, n int) string {
	starts := []int{0}
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '.':
			starts = append(starts, i+1)
		}
	}
	return name[starts[max(len(starts)-n, 0)]:]
}
