package feed

import "time"

// Bounds is how long a server may take. A field that is zero has its default.
type Bounds struct {
	Connect time.Duration // to connect, and again to agree on TLS; default 10 s
	Header  time.Duration // until the answer begins, default 30 s
	// Window and Rate end an answer that trickles: in each Window at least Rate
	// octets a second must come, default 30 s and 1 KiB.
	Window time.Duration
	Rate   int64
	Total  time.Duration // for a list as a whole, redirects and documents included; default 30 min
}

func (b Bounds) withDefaults() Bounds {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&b.Connect, 10 * time.Second},
		{&b.Header, 30 * time.Second},
		{&b.Window, 30 * time.Second},
		{&b.Total, 30 * time.Minute},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if b.Rate <= 0 {
		b.Rate = 1 << 10
	}
	return b
}

// least is how many octets must come in a window.
func (b Bounds) least() int64 {
	return max(1, int64(float64(b.Rate)*b.Window.Seconds()))
}
