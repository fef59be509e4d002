package wire_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"sinkhole/resolver/wire"
)

func ttlsIn(msg []byte, offsets []uint16) (ttls []uint32) {
	for _, off := range offsets {
		ttls = append(ttls, binary.BigEndian.Uint32(msg[off:]))
	}
	return ttls
}

func TestAgeAndClamp(t *testing.T) {
	said := []uint32{0, 1, 30, 31, 86400, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	var msg []byte
	var offsets []uint16
	for _, ttl := range said {
		offsets = append(offsets, uint16(len(msg)))
		msg = append(binary.BigEndian.AppendUint32(msg, ttl), 0xAA)
	}
	for name, tc := range map[string]struct {
		change func([]byte)
		want   []uint32
	}{
		"30 s":           {func(m []byte) { wire.Age(m, offsets, 30, 0) }, []uint32{0, 0, 0, 1, 86370, 1<<31 - 31, 0, 0}},
		"30 s, floor":    {func(m []byte) { wire.Age(m, offsets, 30, 5) }, []uint32{5, 5, 5, 5, 86370, 1<<31 - 31, 5, 5}},
		"for ever":       {func(m []byte) { wire.Age(m, offsets, 1<<32-1, 0) }, make([]uint32, 8)},
		"clamp":          {func(m []byte) { wire.Clamp(m, offsets, 10, 3600) }, []uint32{10, 10, 30, 31, 3600, 3600, 10, 10}},
		"contradicting":  {func(m []byte) { wire.Clamp(m, offsets, 10, 5) }, []uint32{5, 5, 5, 5, 5, 5, 5, 5}},
		"without limits": {func(m []byte) { wire.Clamp(m, offsets, 0, 1<<32-1) }, []uint32{0, 1, 30, 31, 86400, 1<<31 - 1, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := slices.Clone(msg)
			tc.change(got)
			if ttls := ttlsIn(got, offsets); !slices.Equal(ttls, tc.want) {
				t.Errorf("got %v, want %v", ttls, tc.want)
			}
			for i := 4; i < len(got); i += 5 {
				if got[i] != 0xAA {
					t.Errorf("octet %d is no TTL and was changed", i)
				}
			}
		})
	}
}
