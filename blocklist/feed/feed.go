// Package feed delivers the bytes of threat lists and tells when they change.
// It reads files and globs, gzip and zstd transparently, each within bounds,
// and watches the directories they stand in. It does not look inside a list:
// that is the work of package format.
package feed
