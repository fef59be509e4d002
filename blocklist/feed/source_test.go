package feed

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestShownSource(t *testing.T) {
	for source, want := range map[string]string{
		"https://cert.example/list.txt":               "https://cert.example/list.txt",
		"https://cert.example/a%20b/":                 "https://cert.example/a%20b/",
		"https://us:s3cret@cert.example/a":            "https://cert.example/a",
		"https://us@cert.example:8443/a":              "https://cert.example:8443/a",
		"https://cert.example/a?apikey=s3cret":        "https://cert.example/a?...",
		"https://us:s3cret@[2001:db8::1]/a?k=s3cret#": "https://[2001:db8::1]/a?...",
		"https://cert.example/a#s3cret":               "https://cert.example/a",
		"https://us:s3/cret@cert.example/a":           "https://...",
		"https://us:%s3cret@cert.example/a":           "https://...",
		"rpz://192.0.2.1:53/rpz.example":              "rpz://192.0.2.1:53/rpz.example",
		"rpzs://192.0.2.1/rpz.example#xfr.example":    "rpzs://192.0.2.1/rpz.example#xfr.example",
		"rpz://us:s3cret@192.0.2.1/rpz.example":       "rpz://192.0.2.1/rpz.example",
		"lists/what?.txt":                             "lists/what?.txt",
	} {
		if got := ShownSource(source); got != want {
			t.Errorf("%s is shown as %s, expected %s", source, got, want)
		}
	}
}

// secretSource has a key before the host and one behind the path.
const (
	secretSource = "https://us:s3cret@cert.example/list.txt?apikey=s3cret"
	shownSecret  = "https://cert.example/list.txt?..."
)

// secretly puts a good, a previous and a held copy of secretSource on a shelf.
func secretly(t *testing.T, s *Store) {
	t.Helper()
	for i, j := range []Judgement{Accept(), Accept(), Hold("it shrank")} {
		c := offer(t, s, "feed", secretSource, string(rune('a'+i)))
		c.Validator.URL = "https://cert.example/list.txt" // as of an answer, see resource
		settle(t, s, c, j)
	}
}

// checkNoSecret has three copies of secretSource and nothing of it on disk nor in
// what is shown.
func checkNoSecret(t *testing.T, s *Store) {
	t.Helper()
	e := s.Entry("feed", secretSource)
	if len(e.copies()) != 3 {
		t.Fatalf("%d copies, expected 3", len(e.copies()))
	}
	for _, c := range e.copies() {
		if c.Source != shownSecret || !c.IsFrom(secretSource) || c.IsFrom(shownSecret) {
			t.Errorf("a copy is from %s", c.Source)
		}
	}
	shown, err := json.Marshal(e)
	must(t, err)
	if strings.Contains(string(shown), "s3cret") || strings.Contains(string(shown), string(sourceDigestOf(secretSource))) {
		t.Errorf("the entry is shown as %s", shown)
	}
	must(t, filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), "s3cret") {
			t.Errorf("%s holds %s", path, text)
		}
		return err
	}))
	for _, other := range []string{strings.Replace(secretSource, "us:s3cret", "us:another", 1), strings.Replace(secretSource, "=s3cret", "=another", 1), shownSecret} {
		if e := s.Entry("feed", other); len(e.copies()) > 0 {
			t.Errorf("%s has the copies of another source", other)
		}
	}
}

func TestStoreKeepsNoSecret(t *testing.T) {
	s := openStore(t, t.TempDir())
	secretly(t, s)
	checkNoSecret(t, s)
	checkNoSecret(t, reopen(t, s))
}

// A state that gives the source whole, as it once did, loses nothing but that.
func TestStoreForgetsSecrets(t *testing.T) {
	s := openStore(t, t.TempDir())
	secretly(t, s)
	dir, err := s.Dir("feed")
	must(t, err)
	path := filepath.Join(dir, stateName)
	text, err := os.ReadFile(path)
	must(t, err)
	var old map[string]any
	must(t, json.Unmarshal(text, &old))
	for _, which := range []string{"good", "previous", "held"} {
		c := old[which].(map[string]any)
		delete(c, "source_digest")
		c["source"] = secretSource
	}
	text, err = json.Marshal(old)
	must(t, err)
	must(t, os.WriteFile(path, text, 0o600))

	// Another process takes it as it is.
	if e := readOnly(t, s.dir).Entry("feed", secretSource); len(e.copies()) != 3 || e.Good.Source != shownSecret {
		t.Errorf("beside the server the entry is %+v", e)
	}
	s = reopen(t, s)
	checkNoSecret(t, s)
	if e := s.Entry("feed", secretSource); e.Held.Reason != "it shrank" || textOf(t, s, "feed", e.Good)+textOf(t, s, "feed", e.Previous) != "ba" {
		t.Errorf("the entry is %+v", e)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != fileMode {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// What is wrong with a source is said without what may be secret of it.
func TestFaultsOfSourcesShowNoSecret(t *testing.T) {
	for source, words := range map[string][]string{
		"https://us:s3/cret@cert.example/list": {"in user or password", "hexadecimal"},
		"https://us:%s3cret@cert.example/list": {"in user or password", "hexadecimal"},
		"https://us:s3cret@cert.example:x/":    {"not a URL", `invalid port ":x"`},
		"rpz://us:s3/cret@192.0.2.1/rpz":       {"in user or password", "rpz://primary:port/zone"},
		"rpz://us:s3cret@192.0.2.1/rpz":        {"rpz://192.0.2.1/rpz: ", "keys go to tsig"},
		"rpz://192.0.2.1/rpz?key=s3cret":       {"keys go to tsig"},
		"rpx://us:s3cret@192.0.2.1/rpz":        {"scheme"},
	} {
		err := CheckURL(source)
		if strings.HasPrefix(source, "rp") {
			err = CheckZone(source)
		}
		checkSays(t, err, words...)
		for _, part := range []string{"s3", "cret"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%v shows the secret", err)
			}
		}
	}
	z, err := NewZones(ZoneOptions{Store: openStore(t, t.TempDir()), Candidate: neverJudged, Increment: neverApplied})
	must(t, err)
	defer z.Close()
	err = z.Set([]ZoneSpec{{Name: "l", Source: "rpz://us:s3cret@192.0.2.1/rpz"}})
	status, _ := z.Status("l")
	shown, failed := json.Marshal(status)
	if err == nil || failed != nil || strings.Contains(err.Error()+string(shown), "s3cret") {
		t.Error(errors.Join(err, failed), string(shown))
	}
}
