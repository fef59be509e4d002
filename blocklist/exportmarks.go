package blocklist

import (
	"fmt"
	"slices"
	"strings"

	"sinkhole/blocklist/format"
)

// marks is a comment line that says how many of the entries in force of the chosen
// lists, of those triggers, are marked by TLP as not for everybody; "" where none is.
// Whoever passes an export on must know: the forms for others have no room for it at
// each entry.
func (x *exporter) marks(comment string, triggers ...format.Trigger) string {
	count := map[string]int{}
	for list := range x.policy.lists {
		if !x.chosen[list] || x.policy.lists[list].Allow {
			continue
		}
		for place, entry := range x.policy.entries(list) {
			if trigger, _, _ := triggerOf(entry); !slices.Contains(triggers, trigger) || x.policy.first(list, entry) != place {
				continue
			}
			part, _ := x.policy.entryAt(place)
			for r := range part.eachRule(entry) {
				if r.tlp != 0 && r.action != format.Log && r.action != format.PassThru && !r.expired(&x.policy.lists[list], x.options.Now.Unix()) {
					count[part.labels[r.tlp]]++
				}
			}
		}
	}
	var said []string
	for _, label := range [...]string{"RED", "AMBER+STRICT", "AMBER", "GREEN"} {
		if n := count[label]; n > 0 {
			said = append(said, fmt.Sprintf("TLP:%s %d", label, n))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return comment + " entries of these lists that are not for everybody: " + strings.Join(said, ", ") + "\n"
}
