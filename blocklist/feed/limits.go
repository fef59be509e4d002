package feed

// Limits bounds what one file may cost. A field that is zero has its default.
type Limits struct {
	File int64 // bytes on disk, default 2 GiB
	Text int64 // bytes after decompression, default 4 GiB
	// Ratio is how many bytes of text one byte on disk may become, default
	// 250. It is judged only past the first 16 MiB of text, so that a small
	// and repetitive list is never mistaken for a compression bomb.
	Ratio int64
}

const (
	defaultFile  = 2 << 30
	defaultText  = 4 << 30
	defaultRatio = 250

	// ratioFrom is the amount of text from which on Limits.Ratio holds.
	ratioFrom = 16 << 20
)

func (l Limits) withDefaults() Limits {
	if l.File <= 0 {
		l.File = defaultFile
	}
	if l.Text <= 0 {
		l.Text = defaultText
	}
	if l.Ratio <= 0 {
		l.Ratio = defaultRatio
	}
	return l
}
