//go:build !race

package blocklist

const (
	// hostile is how many entries a hostile list has in an ordinary run.
	hostile    = 2 * million
	raceFactor = 1
)
