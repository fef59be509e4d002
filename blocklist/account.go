package blocklist

// account is how much a list held, and what of it was left out and why. It belongs
// to the content that it tells of, and is not changed once that is in force.
type account struct {
	files    []FileStatus
	since    counts // what increments changed since the files were read
	faults   findings
	refused  findings // by the guard
	held     findings
	warnings []string
	amended  []string // warnings about what increments made of the list
	low      int      // entries left out for their confidence
	excess   int      // entries left out because one trigger had too many
}

// counts are entries and lines of each kind.
type counts struct{ entries, malformed, refused, notApplicable int }

// total counts the list as it is now.
func (a *account) total() counts {
	n := a.since
	for i := range a.files {
		f := &a.files[i]
		n.plus(counts{f.Entries, f.Malformed, f.Refused, f.NotApplicable})
	}
	return n
}

func (c *counts) plus(o counts) {
	c.entries += o.entries
	c.malformed += o.malformed
	c.refused += o.refused
	c.notApplicable += o.notApplicable
}

// entries is how many the source held, those that were kept out included.
func (a *account) entries() int { return a.total().entries }
