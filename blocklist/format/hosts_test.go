package format

import "testing"

func TestHosts(t *testing.T) {
	got := parse(`# the machine itself
127.0.0.1	localhost localhost.localdomain
127.0.0.1	local
255.255.255.255	broadcasthost
::1	ip6-localhost	ip6-loopback LOCALHOST
fe80::1%lo0	localhost
fe00::0	ip6-localnet
ff00::0	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
ff02::3	ip6-allhosts
0.0.0.0	0.0.0.0
# the listed
0.0.0.0 bad.example
127.0.0.1	Worse.Example.	# note
:: six.example#note
192.0.2.53 one.example two.example
`+"127.0.0.1\tcr.example\r\n", Options{Kind: Hosts})
	expect(t, got, "14 exact bad.example", "15 exact worse.example", "16 exact six.example",
		"17 exact one.example", "17 exact two.example", "18 exact cr.example")
	if len(got.faults) > 0 {
		t.Errorf("faults %+v", got.faults)
	}
}

// TestHostsShortZero takes 0 for 0.0.0.0, as lists that are to be short write it.
func TestHostsShortZero(t *testing.T) {
	for _, o := range []Options{{}, {Kind: Hosts}} {
		got := parse("0 bad.example\n0\tworse.example worst.example # x\n0 localhost\n0 again.example\n", o)
		expect(t, got, "1 exact bad.example", "2 exact worse.example", "2 exact worst.example", "4 exact again.example")
		if got.result.Kind != Hosts {
			t.Errorf("read as %s", got.result.Kind)
		}
	}
	if got := parse("00 bad.example\n0.0.0.0 good.example\n", Options{Kind: Hosts}); len(got.faults) != 1 || len(got.entries) != 1 {
		t.Errorf("%q, faults %+v", got.entries, got.faults)
	}
}
