package wire

// EDNS options by which forwarders tell who asks, beside [OptionECS]. Their codes
// are for local use, or were never assigned; these are those that are in use.
const (
	OptionUmbrella uint16 = 20292 // Cisco Umbrella, dnsmasq --umbrella
	OptionMAC      uint16 = 65001 // dnsmasq --add-mac
	OptionMACText  uint16 = 65073 // dnsmasq --add-mac=base64, =text
	OptionCPE      uint16 = 65074 // dnsmasq --add-cpe-id
)

// Codes are what the codes of a query's options tell, whatever the options hold.
type Codes struct {
	Hash     uint32 // of all, in their order; 0: there is no option
	Identity uint16 // the first one that says who asks; 0: none does

	Keepalive, Padding, Cookie bool // there is one of these
}

// Add takes in the next option. silent is for a client subnet of length 0, which
// says nothing (RFC 7871 section 7.1.2).
func (c *Codes) Add(code uint16, silent bool) {
	const basis, prime = 2166136261, 16777619 // of FNV-1a
	if c.Hash == 0 {
		c.Hash = basis
	}
	c.Hash = (c.Hash ^ uint32(code)) * prime
	c.Keepalive = c.Keepalive || code == OptionKeepalive
	c.Padding = c.Padding || code == OptionPadding
	c.Cookie = c.Cookie || code == OptionCookie
	if c.Identity != 0 || silent {
		return
	}
	switch code {
	case OptionECS, OptionUmbrella, OptionMAC, OptionMACText, OptionCPE:
		c.Identity = code
	}
}
