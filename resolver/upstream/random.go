package upstream

import (
	"crypto/rand"
	"encoding/binary"
)

// firstPort is the lowest source port of a query: the ports below belong to
// the system's services (RFC 6335), and binding them needs a privilege.
const firstPort = 1024

// randomID draws a message ID from the system's cryptographic source.
func randomID() uint16 {
	var b [2]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return binary.BigEndian.Uint16(b[:])
}

// randomPort draws a source port, each from firstPort on equally likely.
func randomPort() uint16 {
	for {
		if port := randomID(); port >= firstPort {
			return port
		}
	}
}

// systemBits draws from the system's cryptographic source.
type systemBits struct{}

func (systemBits) Uint64() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return binary.BigEndian.Uint64(b[:])
}
