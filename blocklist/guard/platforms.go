package guard

import (
	"bytes"
	"fmt"
	"strings"

	"sinkhole/blocklist/format"
)

// platforms reads the built-in list: sections "[refuse] what", "[essential] what"
// and "[hold] what", with names, and "*.name" for all below it too.
func (b *builder) platforms(text string) error {
	b.arpa = b.add(source{Refuse, Essential, "in arpa, which the DNS itself needs", ""})
	var id sourceID
	var scratch []byte
	return eachLine("platforms.txt", strings.NewReader(text), func(line uint32, text []byte) error {
		if what, found := bytes.CutPrefix(text, []byte("[refuse] ")); found {
			id = b.add(source{Refuse, Platform, "a shared platform (" + string(what) + ")", ""})
			return nil
		}
		if what, found := bytes.CutPrefix(text, []byte("[essential] ")); found {
			id = b.add(source{Refuse, Essential, "essential to everybody (" + string(what) + ")", ""})
			return nil
		}
		if what, found := bytes.CutPrefix(text, []byte("[hold] ")); found {
			id = b.add(source{Hold, Platform, "used by many (" + string(what) + ")", ""})
			return nil
		}
		if len(text) == 0 || text[0] == '#' {
			return nil
		}
		for _, name := range bytes.Fields(text) {
			var err error
			name, tree := bytes.CutPrefix(name, []byte("*."))
			if scratch, err = format.Name(scratch[:0], string(name)); err != nil || id == 0 {
				return fmt.Errorf("found %q, expected names below a section: %w", name, err)
			}
			if tree {
				if err := b.trees.protect(scratch, mark{line, id}); err != nil {
					return err
				}
			}
			if err := b.names.protect(scratch, mark{line, id}); err != nil {
				return err
			}
		}
		return nil
	})
}
