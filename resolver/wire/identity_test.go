package wire_test

import (
	"testing"

	"sinkhole/resolver/wire"
)

func TestCodes(t *testing.T) {
	of := func(codes ...uint16) (c wire.Codes) {
		for _, code := range codes {
			c.Add(code, false)
		}
		return c
	}
	if (wire.Codes{}).Hash != 0 || of(3).Hash == 0 || of(3, 10).Hash == of(10, 3).Hash || of(3).Hash == of(3, 3).Hash {
		t.Error("the hash does not tell options, or their order, apart")
	}
	for _, code := range []uint16{8, 20292, 65001, 65073, 65074} {
		if got := of(10, code, 8, 65074).Identity; got != code {
			t.Errorf("%d: got %d", code, got)
		}
	}
	if got := of(3, 10, 12, 65002).Identity; got != 0 {
		t.Errorf("none says who asks: got %d", got)
	}
	var c wire.Codes
	if c.Add(wire.OptionECS, true); c.Identity != 0 || c.Hash != of(8).Hash {
		t.Errorf("a subnet of length 0: %+v", c)
	}
}
