//go:build race

package blocklist

const (
	// hostile is fewer under the race detector, which takes ten times as long.
	hostile    = million / 10
	raceFactor = 10
)
