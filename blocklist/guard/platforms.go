package guard

import (
	"bytes"
	"fmt"
	"strings"

	"sinkhole/blocklist/format"
)

// platforms reads the built-in list: sections "[refuse] what" and "[hold] what",
// with a name a line.
func (b *builder) platforms(text string) error {
	var id sourceID
	var scratch []byte
	return eachLine("platforms.txt", strings.NewReader(text), func(line uint32, text []byte) error {
		if what, found := bytes.CutPrefix(text, []byte("[refuse] ")); found {
			id = b.add(source{Refuse, Platform, "a shared platform (" + string(what) + ")", ""})
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
			if scratch, err = format.Name(scratch[:0], string(name)); err != nil || id == 0 {
				return fmt.Errorf("found %q, expected names below a section: %w", name, err)
			}
			if err := b.names.protect(scratch, mark{line, id}); err != nil {
				return err
			}
		}
		return nil
	})
}
