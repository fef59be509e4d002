package blocklist

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
)

const zoneSource = "rpz://127.0.0.1:53/rpz.test"

func soaOf(t *testing.T, serial string) []byte {
	t.Helper()
	return wireRecord(t, "rpz.test. 60 IN SOA localhost. root.localhost. "+serial+" 60 60 60 60")
}

// storeZone keeps a zone of serial 1, given as the lines of its copy, and an
// increment to 2.
func storeZone(t *testing.T, lines string, removed, added []string) *feed.Store {
	t.Helper()
	store := openStore(t, t.TempDir())
	draft, err := store.Create("zone", zoneSource)
	if err != nil {
		t.Fatal(err)
	}
	text := "; rpz.test, serial 1\n$ORIGIN rpz.test.\n$TTL 60\n@ SOA localhost. root.localhost. 1 60 60 60 60\n" + lines
	if _, err := draft.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	detail, err := json.Marshal(map[string]any{"zone": "rpz.test", "serial": 1, "soa": soaOf(t, "1")})
	if err != nil {
		t.Fatal(err)
	}
	c, err := draft.Finish(feed.Validator{}, detail)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Settle(c, feed.Accept()); err != nil {
		t.Fatal(err)
	}

	var gone, come []byte
	for _, rr := range removed {
		gone = append(gone, wireRecord(t, rr)...)
	}
	for _, rr := range added {
		come = append(come, wireRecord(t, rr)...)
	}
	soa := soaOf(t, "2")
	var body []byte
	for _, n := range []int{1, 2, len(soa), len(gone), len(come)} {
		body = binary.BigEndian.AppendUint32(body, uint32(n))
	}
	body = append(append(append(body, soa...), gone...), come...)
	frame := binary.BigEndian.AppendUint32([]byte("zone increments 1\n"), uint32(len(body)))
	frame = binary.BigEndian.AppendUint32(frame, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	path := strings.TrimSuffix(store.Path("zone", c.Copy), ".copy") + ".increments"
	if err := os.WriteFile(path, append(frame, body...), 0o600); err != nil {
		t.Fatal(err)
	}
	return store
}

// TestZoneFromCopy reads a zone from its copy and the increments to it, whatever the
// list's configuration has become since they came.
func TestZoneFromCopy(t *testing.T) {
	const lines = "evil.example CNAME .\ndata.example A 192.0.2.1\ndata.example A 192.0.2.2\ngithub.io CNAME .\n1.rpz-nsdname CNAME .\n"
	removed := []string{"evil.example.rpz.test. 60 IN CNAME .", "data.example.rpz.test. 60 IN A 192.0.2.1", "1.rpz-nsdname.rpz.test. 60 IN CNAME ."}
	added := []string{"worse.example.rpz.test. 60 IN CNAME .", "gitlab.io.rpz.test. 60 IN CNAME ."}
	for name, test := range map[string]struct {
		removed []string
		spec    Spec
		want    map[string]string
		low     int
		asOf    string
	}{
		"as it came": {
			removed, Spec{}, map[string]string{"evil.example": "none", "worse.example": "enforce nxdomain zone:0", "data.example": "enforce local-data zone:0"}, 0, "serial:2",
		},
		"its action is another": {
			removed, Spec{Action: format.Drop}, map[string]string{"evil.example": "none", "worse.example": "enforce drop zone:0", "data.example": "enforce drop zone:0"}, 0, "serial:2",
		},
		"it is not believed any more": {
			removed, Spec{Confidence: 30, MinConfidence: 50}, map[string]string{"worse.example": "none", "data.example": "none"}, 2, "serial:2",
		},
		"the primary removes with another TTL": {
			append([]string{"evil.example.rpz.test. 77 IN CNAME ."}, removed[1:]...), Spec{},
			map[string]string{"evil.example": "none", "worse.example": "enforce nxdomain zone:0", "data.example": "enforce local-data zone:0"}, 0, "serial:1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.spec.Name, test.spec.Source, test.spec.Format = "zone", zoneSource, format.RPZ
			o := Options{Configuration: protecting(test.spec), Store: storeZone(t, lines, test.removed, added)}
			l := open(t, o)
			for name, want := range test.want {
				expect(t, l, name, want)
			}
			s := status(t, l, "zone")
			if s.State != StateOK || s.Error != "" || s.Version != "serial:2" || s.Entries != 4 || s.Kept != 2 || s.NotApplicable != 0 || s.Low != test.low {
				t.Errorf("status %+v", s)
			}
			if len(s.Faults) != 0 || len(s.GuardRefused) != 2 || s.GuardRefused[1].String() != zoneSource+": \"gitlab.io\": "+s.GuardRefused[1].Reason {
				t.Errorf("faults %v, refused %v", s.Faults, s.GuardRefused)
			}
			if len(s.Files) != 1 || s.Files[0].AsOf != test.asOf || s.Files[0].Digest != o.Store.Entry("zone", zoneSource).Good.Digest {
				t.Errorf("files %+v", s.Files)
			}
			if _, err := l.Approve("ann", "zone", "gitlab.io"); err != nil {
				t.Fatal(err)
			}
			if s := status(t, l, "zone"); s.Kept != 1 || s.Entries != 4 {
				t.Errorf("approved: %+v", s)
			}
		})
	}
}
