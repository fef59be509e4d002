package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSources(t *testing.T) {
	for source, want := range map[string]SourceKind{
		"lists/a.txt": SourceFiles, "lists/*.txt": SourceFiles, EmbeddedSample: SourceEmbedded,
		"https://lists.example/a.txt": SourceURL, "http://127.0.0.1:8000/a": SourceURL, "http://[::1]/a": SourceURL,
		"rpz://192.0.2.1:53/rpz.example": SourceZone, "rpzs://192.0.2.1/rpz.example": SourceZone,
	} {
		l := List{Source: source}
		if got := l.Kind(); got != want || l.Remote() != (want == SourceURL || want == SourceZone) {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
		if _, err := Parse("test.yaml", []byte("lists: [{name: a, source: \""+source+"\"}]"), ""); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestZones(t *testing.T) {
	for source, want := range map[string]Zone{
		"rpz://192.0.2.1:53/rpz.example":                    {Primary: netip.MustParseAddrPort("192.0.2.1:53"), Name: "rpz.example"},
		"rpz://192.0.2.1/rpz.example.":                      {Primary: netip.MustParseAddrPort("192.0.2.1:53"), Name: "rpz.example"},
		"rpz://[2001:db8::1]:5353/_rpz":                     {Primary: netip.MustParseAddrPort("[2001:db8::1]:5353"), Name: "_rpz"},
		"rpz://2001:db8::1/rpz.example":                     {Primary: netip.MustParseAddrPort("[2001:db8::1]:53"), Name: "rpz.example"},
		"rpz://localhost:5353/rpz.example":                  {Primary: netip.MustParseAddrPort("127.0.0.1:5353"), Name: "rpz.example"},
		"rpzs://192.0.2.1/rpz.example":                      {Primary: netip.MustParseAddrPort("192.0.2.1:853"), Name: "rpz.example", TLS: true},
		"rpzs://192.0.2.1:8853/rpz.example#primary.example": {Primary: netip.MustParseAddrPort("192.0.2.1:8853"), Name: "rpz.example", TLS: true, ServerName: "primary.example"},
	} {
		if got, err := (List{Source: source}).Zone(); got != want || err != nil {
			t.Errorf("%s: got %+v, error %v, want %+v", source, got, err, want)
		}
	}
}

func TestGroups(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "north.txt", "\uFEFF# the north\n192.0.2.0/25 # half\r\n\n2001:db8::/40\n192.0.2.200")
	c, err := Parse(filepath.Join(dir, "test.yaml"), []byte(`
lists: [{name: police, source: police.csv}, {name: cert, source: cert.rpz}]
groups:
  - {name: north, clients: [198.51.100.7, north.txt], lists: [police]}
  - {name: out, clients: ["::/0"], mode: off}
`), dir)
	if err != nil {
		t.Fatal(err)
	}
	north, out := c.Groups[0], c.Groups[1]
	if north.Mode != ModeEnforce || out.Mode != ModeOff || out.Lists != nil {
		t.Errorf("got %+v and %+v", north, out)
	}
	prefixes, files := north.Split()
	if len(prefixes) != 1 || !slices.Equal(files, []string{filepath.Join(dir, "north.txt")}) {
		t.Errorf("got prefixes %v, files %v", prefixes, files)
	}
	clients, err := ReadClients(files[0])
	want := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/25"),
		netip.MustParsePrefix("2001:db8::/40"), netip.MustParsePrefix("192.0.2.200/32"),
	}
	if err != nil || !slices.Equal(clients, want) {
		t.Errorf("got %v, error %v, want %v", clients, err, want)
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"c2VjcmV0\n": "", "  c2VjcmV0  ": "",
		"":                          ": found nothing, expected a secret on one line",
		"\n\n":                      ": found nothing, expected a secret on one line",
		"c2Vj\ncmV0\n":              ": found several lines or a control character, expected a secret on one line",
		"c2Vj\x00":                  ": found several lines or a control character, expected a secret on one line",
		strings.Repeat("cmV0", 4e3): ": found more than 4096 bytes, expected a secret on one line: is this another file?",
	} {
		path := write(t, dir, "secret", text)
		secret, err := TSIG{SecretFile: path}.Secret()
		header, headerErr := Auth{SecretFile: path}.Secret()
		if want == "" {
			if secret != "c2VjcmV0" || header != secret || err != nil || headerErr != nil {
				t.Errorf("%q: got %q and %q, errors %v, %v", text, secret, header, err, headerErr)
			}
			continue
		}
		if secret != "" || header != "" || err == nil || err.Error() != path+want || headerErr == nil || headerErr.Error() != path+want {
			t.Errorf("%.20q: got %q, errors %v, %v\nwant %s", text, secret, err, headerErr, path+want)
		}
	}
	// A header's secret is any text, a key's is base64; neither is ever shown.
	path := write(t, dir, "secret", "Bearer: of bad news")
	if secret, err := (Auth{SecretFile: path}).Secret(); secret != "Bearer: of bad news" || err != nil {
		t.Errorf("got %q, error %v", secret, err)
	}
	if _, err := (TSIG{SecretFile: path}).Secret(); err == nil || !strings.Contains(err.Error(), "no base64") || strings.Contains(err.Error(), "Bearer") {
		t.Errorf("got %v", err)
	}
	if secret, err := (TSIG{}).Secret(); secret != "" || err != nil {
		t.Errorf("without a file: got %q, error %v", secret, err)
	}
}

func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good", "Z29vZA==")
	write(t, dir, "clients.txt", "192.0.2.0/24\n")
	write(t, dir, "bad-clients.txt", "192.0.2.0/24\n192.0.2.1/24\n")
	text := func(secret, clients, guard string) []byte {
		return []byte(`lists:
  - name: a
    source: https://lists.example/a.txt
    auth: {header: X-Key, secret_file: ` + secret + `}
  - name: b
    source: rpz://192.0.2.1/rpz.example
    tsig: {name: b.example, secret_file: ` + secret + `}
groups:
  - {name: north, clients: [192.0.2.0/24, ` + clients + `]}
guard:
  files: [` + guard + `]
  hold: [` + guard + `]
`)
	}
	file := filepath.Join(dir, "test.yaml")
	c, err := Parse(file, text("good", "clients.txt", "good"), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckFiles(); err != nil {
		t.Errorf("got %v, want no fault", err)
	}
	if c, err = Parse(file, text("missing", "bad-clients.txt", "."), dir); err != nil {
		t.Fatal(err)
	}
	faults, _ := errors.AsType[Faults](c.CheckFiles())
	want := []struct{ at, message string }{
		{":4:40: lists[0].auth.secret_file: ", "/missing: no such file or directory, expected a file that the user (uid "},
		{":7:42: lists[1].tsig.secret_file: ", "/missing: no such file or directory, expected a file that the user (uid "},
		{":9:43: groups[0].clients[1]: ", `/bad-clients.txt:2: found "192.0.2.1/24" with bits set beyond its length, expected 192.0.2.0/24, or 192.0.2.1 for the one address`},
		{":11:11: guard.files[0]: ", ": is a directory, device or pipe, expected a regular file"},
		{":12:10: guard.hold[0]: ", ": is a directory, device or pipe, expected a regular file"},
	}
	if len(faults) != len(want) {
		t.Fatalf("got %d faults, want %d:\n%v", len(faults), len(want), faults)
	}
	for i, f := range faults {
		if !strings.HasPrefix(f.String(), file+want[i].at+dir+want[i].message) {
			t.Errorf("got  %s\nwant %s", f, file+want[i].at+dir+want[i].message)
		}
	}
}

// TestCheckDirectories has what is written stand where a file is.
func TestCheckDirectories(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "")
	for _, c := range []struct{ store, journal, want string }{
		{"data/lists", "data/hits", ""},
		{".", "new/data/hits", ""},
		{`""`, "hits", ""},
		{"file", "hits", ":1:13: list_store: " + dir + "/file: is a file, expected a directory, or nothing: then it is made"},
		{"file/lists", "hits", ":1:13: list_store: " + dir + "/file: is a file, expected a directory, or nothing: then it is made"},
		{"lists", "file", ":2:24: hits.journal.path: " + dir + "/file: is a file, expected a directory, or nothing: then it is made"},
	} {
		file := filepath.Join(dir, "test.yaml")
		parsed, err := Parse(file, []byte("list_store: "+c.store+"\nhits: {journal: {path: \""+c.journal+"\"}}\n"), dir)
		if err != nil {
			t.Fatal(err)
		}
		err = parsed.CheckFiles()
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != file+c.want) {
			t.Errorf("%s and %s: got %v, want %q", c.store, c.journal, err, c.want)
		}
	}
}

// TestJournalPath finds the way to the server in spite of faults.
func TestJournalPath(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"":                             "data/hits",
		"hits: {journal: {path: own}}": "own",
		"listn: {}\nhits: {journal: {path: own}}":                                  "own",
		"hits:\n  journal:\n    path: own\n    keep: long\nlisten: 7":              "own",
		"lists: [\nhits:\n  # where\n\n  journal: {path: own}\nlog: {level: info}": "own",
		"lists: [":                     "data/hits",
		"listn: {}":                    "data/hits",
		"hits: {journal: {path: [a]}}": "",
		"hits: {journal: 7}":           "",
		"hits: [":                      "",
		"hits: {journal: {path: a}}\nhits: {journal: {path: b}}": "",
		"just text": "",
	} {
		path := write(t, dir, "test.yaml", text)
		_, loaded := Load(path)
		got, err := JournalPath(path)
		if want != "" {
			want = filepath.Join(dir, want)
		}
		if got != want || fmt.Sprint(err) != fmt.Sprint(loaded) {
			t.Errorf("%q: got %q, error %v; want %q, %v", text, got, err, want, loaded)
		}
	}
	if path, err := JournalPath(filepath.Join(dir, "missing.yaml")); path != "" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %q, %v", path, err)
	}
}

func TestEveryFaultOfAClientFileIsTold(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "clients", "192.0.2.1\nnobody # at all\n10.0.0.0/33\n")
	const expected = `, expected an address or a prefix, as in "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32"`
	want := path + `:2: found "nobody"` + expected + "\n" + path + `:3: found "10.0.0.0/33"` + expected
	if clients, err := ReadClients(path); clients != nil || err == nil || err.Error() != want {
		t.Errorf("got %v, %v\nwant %s", clients, err, want)
	}
	path = write(t, dir, "page", strings.Repeat("<p>\n", 100))
	_, err := ReadClients(path)
	if err == nil || strings.Count(err.Error(), "\n") != maxClientFaults || !strings.HasSuffix(err.Error(), path+": and 80 more lines") {
		t.Errorf("got %v", err)
	}
}

func TestClientFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "one-line", strings.Repeat("1", 70_000))
	if _, err := ReadClients(path); err == nil || !strings.HasPrefix(err.Error(), path+":1: found a line of more than ") {
		t.Errorf("got %v", err)
	}
	path = filepath.Join(dir, "long")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Repeat("# no client at all\n", 1<<16)
	for range maxClients/len(lines) + 1 {
		if _, err := file.WriteString(lines); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadClients(path); err == nil || err.Error() != path+": found more than 64 MiB, expected at most that much" {
		t.Errorf("got %v", err)
	}
}
