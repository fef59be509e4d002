// Package feed delivers the bytes of threat lists and tells when they change:
// from files and globs, whose directories it watches; from HTTPS servers, which
// it asks again and again; from the primaries of zones, which it transfers. Each
// comes within bounds. What comes over the network is kept on disk, so that the
// last good copy serves when the source is away. The package does not look inside
// a list: that is the work of package format.
package feed
