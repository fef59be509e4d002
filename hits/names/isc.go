package names

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// iscParser reads dhcpd.leases and dhcpd6.leases of ISC: a block for each change, the last one
// of an address is in effect. Times are UTC.
type iscParser struct {
	addr  netip.Addr // of the block; invalid: none that is of use
	l     lease
	state string
	cltt  int64 // of the surrounding block of IPv6
	duid  mac
	depth int
}

func (p *iscParser) line(c *content, line []byte) error {
	text, _ := cutComment(string(line))
	f := strings.Fields(strings.TrimSuffix(text, ";"))
	if len(f) == 0 {
		return nil
	}
	switch {
	case f[len(f)-1] == "{":
		p.depth++
		return p.begin(f)
	case f[0] == "}":
		return p.end(c)
	case p.depth > 0:
		return p.statement(f)
	}
	return nil
}

// cutComment takes a comment off, which begins with # outside of quotes.
func cutComment(s string) (before string, found bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"' && (i == 0 || s[i-1] != '\\'):
			quoted = !quoted
		case s[i] == '#' && !quoted:
			return strings.TrimSpace(s[:i]), true
		}
	}
	return strings.TrimSpace(s), false
}

func (p *iscParser) begin(f []string) error {
	switch f[0] {
	case "ia-na", "ia-ta":
		p.cltt, p.duid = 0, mac{}
		if len(f) == 3 {
			if b, ok := iscQuoted(f[1]); ok && len(b) > 4 { // the IAID is before it
				p.duid = macOfDUID(b[4:])
			}
		}
		return nil
	case "lease", "iaaddr":
	default:
		return nil
	}
	p.addr, p.state = netip.Addr{}, ""
	p.l = lease{held: held{until: never}}
	if f[0] == "iaaddr" {
		p.l.mac, p.l.from = p.duid, p.cltt
	}
	if len(f) != 3 {
		return fmt.Errorf("found %q, expected an address between %s and {", strings.Join(f, " "), f[0])
	}
	a, err := netip.ParseAddr(f[1])
	if err != nil {
		return fmt.Errorf("found the address %q, expected an IP address", f[1])
	}
	p.addr = a
	return nil
}

func (p *iscParser) end(c *content) error {
	p.depth = max(0, p.depth-1)
	a := p.addr
	p.addr = netip.Addr{}
	switch {
	case !a.IsValid():
		return nil
	case p.state == "active" || p.state == "":
	case p.l.mac == (mac{}) && p.l.name == "": // never given to anybody
		return nil
	default: // ends says when it was given back, or was to end
		p.l.until = min(p.l.until, c.now)
	}
	c.lease(a, p.l)
	return nil
}

func (p *iscParser) statement(f []string) (err error) {
	switch {
	case f[0] == "cltt":
		p.cltt, err = iscTime(f[1:])
		return err
	case !p.addr.IsValid():
	case f[0] == "starts":
		p.l.from, err = iscTime(f[1:])
	case f[0] == "ends":
		p.l.until, err = iscTime(f[1:])
	case f[0] == "binding" && len(f) == 3:
		p.state = f[2]
	case f[0] == "hardware" && len(f) == 3:
		p.l.mac = parseMAC(f[2])
	case f[0] == "client-hostname" && len(f) > 1:
		if b, ok := iscQuoted(strings.Join(f[1:], " ")); ok {
			p.l.name = hostName(string(b))
		}
	}
	if err != nil {
		p.addr = netip.Addr{} // without its time it is of no use
	}
	return err
}

// iscTime is "4 2026/01/29 10:11:12", "epoch 1769681472" or "never".
func iscTime(f []string) (int64, error) {
	switch {
	case len(f) == 1 && f[0] == "never":
		return never, nil
	case len(f) == 2 && f[0] == "epoch":
		if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n >= 0 {
			return seconds(n), nil
		}
	case len(f) == 3:
		if t, err := time.Parse("2006/01/02 15:04:05", f[1]+" "+f[2]); err == nil {
			return t.UnixNano(), nil
		}
	}
	return 0, fmt.Errorf("found the time %q, expected one such as 4 2026/01/29 10:11:12, epoch 1769681472 or never", strings.Join(f, " "))
}

// iscQuoted undoes quotes, and octets in octal behind a backslash.
func iscQuoted(s string) (b []byte, ok bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return nil, false
	}
	s = s[1 : len(s)-1]
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		i++
		b = append(b, s[i])
	}
	return b, true
}
