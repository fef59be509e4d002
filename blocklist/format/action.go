package format

import (
	"fmt"
	"strings"
)

// String is the action's name in configuration and lists; empty for Unstated.
func (a Action) String() string {
	switch a {
	case Unstated:
		return ""
	case Sinkhole:
		return "sinkhole"
	case NXDomain:
		return "nxdomain"
	case NoData:
		return "nodata"
	case Refused:
		return "refused"
	case Drop:
		return "drop"
	case TCPOnly:
		return "tcp-only"
	case PassThru:
		return "passthru"
	case Log:
		return "log"
	case LocalData:
		return "local-data"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// ParseAction is the inverse of String, in any case. The empty string is
// Unstated.
func ParseAction(s string) (Action, error) {
	names := make([]string, 0, LocalData)
	for a := Unstated; a <= LocalData; a++ {
		if strings.EqualFold(s, a.String()) {
			return a, nil
		}
		if a != Unstated {
			names = append(names, a.String())
		}
	}
	return Unstated, fmt.Errorf("unknown action %q, expected one of %s", s, strings.Join(names, ", "))
}
