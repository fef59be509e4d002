package blocklist

// cursor goes through the entries of a list beside those of another state of it,
// which nearly always has them in the same order: what stands in both is found
// without a look-up.
type cursor struct {
	policy *Policy
	list   int
	place  uint32 // of the entry that is expected next
	valid  bool
}

// newCursor begins at the first entry of a list; -1 is none.
func newCursor(p *Policy, list int) cursor {
	c := cursor{policy: p, list: list}
	if parts := p.partsOf(list); len(parts) > 0 && len(parts[0].chunks) > 0 {
		c.place, c.valid = uint32(parts[0].first)<<chunkBits, true
	}
	return c
}

// passes goes on if the entry that is expected has the trigger of this one, and
// tells where it is.
func (c *cursor) passes(entry []byte) (place uint32, ok bool) {
	for c.valid {
		part, expected := c.policy.entryAt(c.place)
		if dead := c.isDead(part); !dead {
			n := triggerSize(expected)
			if len(entry) < n || string(entry[:n]) != string(expected[:n]) {
				return 0, false
			}
			place = c.place
			c.after(place)
			return place, true
		}
		c.after(c.place)
	}
	return 0, false
}

func (c *cursor) isDead(part *part) bool {
	if len(part.dead) == 0 {
		return false
	}
	_, dead := part.dead[c.place-uint32(part.first)<<chunkBits]
	return dead
}

// after expects the entry that follows the one at a place, if the list has one.
func (c *cursor) after(place uint32) {
	part, entry := c.policy.entryAt(place)
	place += uint32(part.size(entry))
	chunk := int(place >> chunkBits)
	if int(place&chunkMask) == 0 || int(place&chunkMask) >= len(c.policy.chunks[chunk]) {
		if place&chunkMask != 0 {
			chunk++
		}
		place = uint32(chunk) << chunkBits
	}
	c.place = place
	c.valid = chunk < len(c.policy.chunks) && int(c.policy.parts[c.policy.owners[chunk]].list) == c.list && len(c.policy.chunks[chunk]) > 0
}
