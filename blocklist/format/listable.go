package format

import (
	"bytes"
	"net/netip"
)

// ListableName says whether a list of names may have a name in wire form. A policy
// zone may have others too, such as single labels.
func ListableName(name []byte) bool {
	wire, p := listName(make([]byte, 0, maxName), []byte(Text(name)))
	return !p.is() && bytes.Equal(wire, name)
}

// ListablePrefix says whether a list of addresses may have a prefix. A policy zone
// may have any.
func ListablePrefix(prefix netip.Prefix) bool { return !listable(prefix).is() }
