package inventory

import (
	"net/netip"
	"testing"
	"time"

	"sinkhole/hits"
)

// Behind an address that subscribers share each of them is a machine; whose port is not known
// is in the entry of the address, which is none. A rebuild comes to the same.
func TestSubscribersShareAnAddress(t *testing.T) {
	of := func(c hits.Client) (string, bool) {
		switch {
		case c.Addr != netip.MustParseAddr("192.0.2.1") && c.Addr != netip.MustParseAddr("192.0.2.2"):
			return "", false
		case len(c.Ports) == 1 && c.Ports[0] < 2000:
			return "S1", false
		case len(c.Ports) == 1 && c.Ports[0] < 3000 && c.At.Before(testTime.Add(time.Hour)):
			return "S2", false
		}
		return "", true
	}
	mac := func(h *hits.Hit) {
		h.Identity = &hits.Identity{Forwarder: h.Client.Addr(), Source: 65001, MAC: [6]byte{0, 0, 0x5e, 0, 0x53, 1}}
	}
	lines := encoded(t, 1000, []*hits.Hit{
		hitAt(testTime, "192.0.2.1:1024", 1, nil), hitAt(testTime, "192.0.2.1:1025", 1, nil), hitAt(testTime, "192.0.2.2:1024", 1, nil),
		hitAt(testTime, "192.0.2.1:2024", 1, nil), hitAt(testTime.Add(2*time.Hour), "192.0.2.1:2024", 1, nil), hitAt(testTime, "192.0.2.1:5000", 1, nil),
		hitAt(testTime, "192.0.2.3:1024", 1, nil), hitAt(testTime, "192.0.2.1:1024", 1, mac),
	})
	w := newWriter(t)
	w.write(lines...)
	o := options(t, w.dir)
	o.Subscriber = of
	for range 2 {
		feed(t, o)
		r, err := OpenReader(t.Context(), o.Path)
		if err != nil {
			t.Fatal(err)
		}
		all, err := r.Machines(t.Context(), Filter{WhoIs: func(c hits.Client) hits.Who { return hits.Who{Name: "n" + c.Subscriber, Subscriber: "other"} }})
		if err != nil {
			t.Fatal(err)
		}
		families, err := r.Families(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		type row struct {
			subscriber, name, address string
			shared                    bool
			hits                      uint64
		}
		got := make(map[row]bool)
		for _, m := range all {
			got[row{m.Subscriber, m.Name, m.Address, m.Shared, m.Hits}] = true
			if m.Subscriber == "S1" && len(m.Addresses) != 2 {
				t.Errorf("addresses of S1: %v", m.Addresses)
			}
		}
		for _, want := range []row{
			{"S1", "nS1", "192.0.2.2", false, 3}, {"S2", "nS2", "192.0.2.1", false, 1}, {"", "n", "192.0.2.1", true, 2},
			{"other", "n", "192.0.2.3", false, 1}, {"other", "n", "", false, 1}, // a forwarder told the MAC address alone
		} {
			if !got[want] {
				t.Errorf("no %+v among %v", want, got)
			}
		}
		if len(all) != 5 {
			t.Errorf("%d entries", len(all))
		}
		if f := families[0]; f.Machines != 4 || f.Shared != 1 {
			t.Errorf("%+v", f)
		}
	}
}
