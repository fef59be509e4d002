package format

import (
	"strings"
	"testing"
)

func TestAction(t *testing.T) {
	for a := Unstated; a <= LocalData; a++ {
		for _, name := range []string{a.String(), strings.ToUpper(a.String())} {
			if got, err := ParseAction(name); err != nil || got != a {
				t.Errorf("ParseAction(%q) = %v, %v; want %v", name, got, err, a)
			}
		}
	}
	_, err := ParseAction("block")
	const want = `unknown action "block", expected one of sinkhole, nxdomain, nodata, refused, drop, tcp-only, passthru, log, local-data`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if got := Action(200).String(); got != "action(200)" {
		t.Errorf("an action that is none is %q", got)
	}
}
