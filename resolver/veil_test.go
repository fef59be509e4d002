package resolver

import (
	"bytes"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"sinkhole/blocklist"
	"sinkhole/hits"
)

// Whoever asks, directly, through forwarders that say who it is, by a rule about the client:
// nothing in the journal's directory names it.
func TestVeiledClients(t *testing.T) {
	t.Parallel()
	for name, veil := range map[string]*hits.Veil{"truncate": hits.Truncated(), "pseudonym": hits.Pseudonymous([]byte("key"))} {
		for _, file := range []string{"identity", "identity-stranger", "client-ip", "expected", "sinkhole"} {
			t.Run(name+"/"+file, func(t *testing.T) {
				t.Parallel()
				archive, err := txtar.ParseFile("testdata/scenarios/" + file + ".txtar")
				check(t, err)
				s := newScenario(t, archive)
				s.rig.veil = veil
				k := newRig(t, s.rig)
				named := askAll(t, k, s.session)
				found := k.hits(t)
				if len(found) == 0 {
					t.Fatal("no hit")
				}
				for _, r := range found {
					// The servers' own address is no client's.
					r.Raw = bytes.Replace(r.Raw, []byte(`"server":{"ip":"127.0.0.1"`), nil, 1)
					for _, text := range named {
						if bytes.Contains(r.Raw, []byte(text)) {
							t.Errorf("%s in %s", text, r.Raw)
						}
					}
				}
				nothingElse(t, k.dir, named)
			})
		}
	}
}

// askAll asks what a session asks, and gives the texts by which those who asked are known.
func askAll(t *testing.T, k *rig, session string) (named []string) {
	t.Helper()
	steps, err := parseSession(session)
	check(t, err)
	named = []string{`"10.1.2.3"`, `"10.1.2.4"`, "10.1.2.3/32", "2001:db8::7", "00-00-5E-00-53-23", "00:00:5e:00:53:23", "lobby-7", "0102030405060708", `"asset_id"`}
	for _, step := range steps {
		if step.query == nil {
			continue
		}
		step.ask(t, k)
		if name := `"` + step.from4 + `"`; len(named) == 0 || named[len(named)-1] != name {
			named = append(named, name, step.from4+"/32")
		}
	}
	return named
}

// nothingElse wants no file beside the segments to name anyone.
func nothingElse(t *testing.T, dir string, named []string) {
	t.Helper()
	check(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path, "hits-") {
			return err
		}
		text, err := fs.ReadFile(os.DirFS(dir), path)
		for _, name := range named {
			if bytes.Contains(text, []byte(name)) {
				t.Errorf("%s in %s", name, path)
			}
		}
		return err
	}))
}

// A rule about a client is evidence still: of its network, or of its pseudonym.
func TestVeiledRuleAboutAClient(t *testing.T) {
	t.Parallel()
	key := hits.Pseudonymous([]byte("key"))
	client := netip.MustParseAddr("127.0.0.1")
	for want, veil := range map[string]*hits.Veil{"127.0.0.0/24": hits.Truncated(), key.Addr(client).String(): key} {
		k := newRig(t, rigOptions{veil: veil, servers: []string{newZone(t, "").addr}, specs: specsOf(
			blocklist.Spec{Name: "machines", Source: list(t, "machines", "$ORIGIN rpz.example.\n@ SOA a. b. 1 1 1 1 1\n@ NS a.\n32.1.0.0.127.rpz-client-ip CNAME .\n").Source, Format: "rpz"})})
		c := dialUDP(t, k)
		send(t, c, queryOf(t, "good.example.", 1))
		receive(t, c)
		found := k.hits(t)
		if len(found) != 1 || fieldOf(found[0].Raw, "threat.indicator.name") != want || fieldOf(found[0].Raw, "sinkhole.value") != veil.Addr(client).String() {
			t.Errorf("%s: %s", want, found[0].Raw)
		}
	}
}
