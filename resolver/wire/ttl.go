package wire

import "encoding/binary"

// A TTL with its first bit set is 0 (RFC 2181 section 8).
func ttlAt(msg []byte, off int) uint32 {
	ttl := binary.BigEndian.Uint32(msg[off:])
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}

// Age counts the TTLs at the given offsets down by the seconds that the message
// has been kept, in place, to no less than floor.
func Age(msg []byte, ttls []uint16, seconds, floor uint32) {
	for _, off := range ttls {
		ttl := ttlAt(msg, int(off))
		ttl -= min(ttl, seconds)
		binary.BigEndian.PutUint32(msg[off:], max(ttl, floor))
	}
}

// Clamp brings the TTLs at the given offsets into the range, in place. Where the
// two bounds contradict each other, the maximum holds.
func Clamp(msg []byte, ttls []uint16, minTTL, maxTTL uint32) {
	for _, off := range ttls {
		binary.BigEndian.PutUint32(msg[off:], min(max(ttlAt(msg, int(off)), minTTL), maxTTL))
	}
}
