package cache

import (
	"bytes"
	"crypto/sha256"
)

// LoadBody reads a file of magic, body and the digest of them.
func LoadBody(body []byte, keep func(Saved) bool) error {
	file := append([]byte(magic), body...)
	digest := sha256.Sum256(file)
	file = append(file, digest[:]...)
	return load(bytes.NewReader(file), int64(len(file)), keep)
}
