package resolver

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/hits"
)

// TestScenarios plays the scenarios, whose language is described in their
// folder's README.md.
func TestScenarios(t *testing.T) {
	t.Parallel()
	eachScenario(t, func(t *testing.T, s *scenario) { s.play(t, newRig(t, s.rig), nil) })
}

// TestScenariosOverEveryTransport plays them again over each other transport: the same
// answers, questions to upstreams, and hits.
func TestScenariosOverEveryTransport(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: the scenarios over UDP alone are enough for -short")
	}
	t.Parallel()
	for way, transport := range map[string]string{"tcp": "tcp", "dot": "dot", "doh get": "doh", "doh3 post": "doh3", "doq": "doq"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			eachScenario(t, func(t *testing.T, s *scenario) {
				k := newEncryptedRig(t, s.rig)
				var making sync.Mutex
				ways := map[string]asked{} // by the client's address
				s.play(t, k.rig, &carrier{transport: transport, ask: func(from string, msg []byte) ([]byte, error) {
					making.Lock()
					if ways[from] == nil {
						ways[from] = k.ways(t, from)[way]
					}
					ask := ways[from]
					making.Unlock()
					return ask(msg)
				}})
			})
		})
	}
}

// carrier is the transport of a play.
type carrier struct {
	transport string // as hits name it
	ask       func(from string, msg []byte) ([]byte, error)
}

func eachScenario(t *testing.T, test func(t *testing.T, s *scenario)) {
	files, err := filepath.Glob("testdata/scenarios/*.txtar")
	check(t, err)
	if len(files) == 0 {
		t.Fatal("no scenario found")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			check(t, err)
			test(t, newScenario(t, archive))
		})
	}
}

// scenario is one file, read.
type scenario struct {
	rig      rigOptions
	zone     *zone
	zones    map[string]*zone // with a server of their own
	files    map[string][]byte
	paths    map[string]string // of lists, by name
	settings []string
	session  string
}

func newScenario(t *testing.T, archive *txtar.Archive) *scenario {
	t.Helper()
	s := &scenario{files: map[string][]byte{}, paths: map[string]string{}}
	s.rig.settings = sinkSettings()
	zone := ""
	for _, f := range archive.Files {
		words := strings.Fields(f.Name)
		switch {
		case words[0] == "list" && len(words) > 1, words[0] == "allow" && len(words) > 1:
			s.addList(t, words[0] == "allow", words[1], words[2:], f.Data)
		case words[0] == "file" && len(words) == 2:
			s.files[words[1]] = f.Data
		case f.Name == "settings":
			s.settings = strings.Split(string(f.Data), "\n")
		case f.Name == "upstream":
			zone = string(f.Data)
		case words[0] == "upstream" && len(words) == 2:
			s.addZone(t, words[1], string(f.Data))
		case f.Name == "session":
			s.session = string(f.Data)
		default:
			t.Fatalf("-- %s --: expected settings, list NAME, allow NAME, file NAME, upstream, upstream ZONE or session", f.Name)
		}
	}
	s.zone = newZone(t, zone)
	s.rig.servers = []string{s.zone.addr}
	for i, line := range s.settings {
		if err := s.set(strings.Fields(line)); err != nil {
			t.Fatalf("settings:%d: %v", i+1, err)
		}
	}
	return s
}

func (s *scenario) addList(t *testing.T, allow bool, name string, options []string, text []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	check(t, os.WriteFile(path, text, 0o600))
	s.paths[name] = path
	spec := blocklist.Spec{Name: name, Source: path, Allow: allow}
	for _, option := range options {
		if err := setList(&spec, option); err != nil {
			t.Fatalf("list %s: %s: %v", name, option, err)
		}
	}
	s.rig.specs = append(s.rig.specs, spec)
}

func (s *scenario) addZone(t *testing.T, name, text string) {
	t.Helper()
	if s.zones == nil {
		s.zones, s.rig.zones = map[string]*zone{}, map[string][]string{}
	}
	s.zones[name] = newZone(t, text)
	s.rig.zones[name] = []string{s.zones[name].addr}
}

// asked are the questions that the upstreams got since the last call.
func (s *scenario) asked() []string {
	all := s.zone.take()
	for _, name := range slices.Sorted(maps.Keys(s.zones)) {
		for _, line := range s.zones[name].take() {
			all = append(all, line+" zone="+name)
		}
	}
	return all
}

func setList(spec *blocklist.Spec, option string) (err error) {
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "format":
		spec.Format = format.Kind(value)
	case "match":
		spec.Match = value
	case "action":
		spec.Action, err = format.ParseAction(value)
	case "ipv4":
		spec.IPv4, err = parseSink(value)
	case "ipv6":
		spec.IPv6, err = parseSink(value)
	case "family":
		spec.Family = strings.ReplaceAll(value, "_", " ")
	case "ede":
		codes := map[string]uint16{"forged": 4, "blocked": 15, "censored": 16, "filtered": 17}
		spec.EDE = codes[value]
		if spec.EDE == 0 {
			err = fmt.Errorf("found %q, expected blocked, censored, filtered or forged", value)
		}
	default:
		err = fmt.Errorf("unknown option")
	}
	return err
}

func parseSink(value string) (blocklist.Sink, error) {
	switch value {
	case "none":
		return blocklist.Sink{Mode: blocklist.SinkNone}, nil
	case "auto":
		return blocklist.Sink{Mode: blocklist.SinkAuto}, nil
	}
	addr, err := netip.ParseAddr(value)
	return blocklist.Sink{Mode: blocklist.SinkAddress, Addr: addr}, err
}

func (s *scenario) set(words []string) (err error) {
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil
	}
	key, value := words[0], strings.Join(words[1:], " ")
	o := &s.rig
	if o.ttl == (TTLBounds{}) {
		o.ttl = TTLBounds{Max: 24 * time.Hour, Negative: 15 * time.Minute}
	}
	switch key {
	case "sinkhole.action":
		o.action, err = format.ParseAction(value)
	case "sinkhole.ipv4":
		o.settings.IPv4, err = parseSink(value)
	case "sinkhole.ipv6":
		o.settings.IPv6, err = parseSink(value)
	case "sinkhole.ttl":
		o.settings.SinkholeTTL, err = time.ParseDuration(value)
	case "sinkhole.explain":
		levels := []string{"none", "code", "family", "full"}
		o.settings.Explain = Explain(slices.Index(levels, value))
	case "clients.allow":
		o.settings.Allow = prefixes(words[1:])
	case "clients.forwarders":
		o.settings.Forwarders = prefixes(words[1:])
	case "clients.expected":
		o.settings.Expected = prefixes(words[1:])
	case "clients.refuse":
		o.settings.DropOthers = value == "drop"
	case "local.single_label":
		o.settings.KeepSingleLabel = value == "nodata"
	case "local.bypass":
		o.settings.Nonexistent = words[1:]
	case "cache.min_ttl":
		o.ttl.Min, err = time.ParseDuration(value)
	case "cache.max_ttl":
		o.ttl.Max, err = time.ParseDuration(value)
	case "cache.negative_ttl":
		o.ttl.Negative, err = time.ParseDuration(value)
	case "cache.nxdomain_cut":
		o.noCut = value == "false"
	case "upstream.rebind":
		o.rebind.Strip = value == "strip"
	case "upstream.rebind_allow":
		o.rebind.Allowed = words[1:]
	case "upstream.timeout":
		o.timeout, err = time.ParseDuration(value)
	case "upstream.servers":
		switch value {
		case "none":
			o.servers = nil
		case "closed":
			o.servers = []string{"127.0.0.254:1"} // where nobody listens
		default:
			err = fmt.Errorf("found %q, expected none or closed", value)
		}
	default:
		err = fmt.Errorf("%s: unknown setting", key)
	}
	return err
}

func prefixes(words []string) (all []netip.Prefix) {
	for _, word := range words {
		all = append(all, netip.MustParsePrefix(word))
	}
	return all
}

// play runs the session over a transport (nil: as it says, UDP where it says nothing), then
// holds the journal to it.
func (s *scenario) play(t *testing.T, k *rig, over *carrier) {
	steps, err := parseSession(s.session)
	check(t, err)
	if len(steps) == 0 {
		t.Fatal("no query in the session")
	}
	for i, step := range steps {
		if step.query == nil {
			s.reload(t, k, step)
			continue
		}
		step.query.Id = uint16(i + 1)
		s.zone.release(func() bool { return k.Stats().Waiting >= int64(step.times) })
		var asking sync.WaitGroup
		for range step.times {
			asking.Go(func() {
				reply, failure := s.ask(t, k, step, over)
				if err := step.compare(reply, failure); err != nil {
					t.Errorf("session:%d: %s\n%v", step.line, step.query.Question[0].String(), err)
				}
			})
		}
		asking.Wait()
		if asked := s.asked(); !slices.Equal(asked, step.upstream) {
			t.Errorf("session:%d: upstream was asked %q, expected %q", step.line, asked, step.upstream)
		}
	}
	if k.Stats().Panics > 0 {
		t.Error("a query met a fault in the server")
	}
	compareHits(t, steps, k.hits(t), over)
}

// ask asks over the transport what is not about another.
func (s *scenario) ask(t *testing.T, k *rig, step *step, over *carrier) ([]byte, error) {
	if over == nil || step.speaksOf() {
		return step.ask(t, k)
	}
	query, err := step.query.Pack()
	check(t, err)
	if over.transport == "doq" { // RFC 9250 section 4.2.1
		clear(query[:2])
	}
	reply, failure := over.ask(step.from4, query)
	if over.transport == "doq" && len(reply) > 2 {
		binary.BigEndian.PutUint16(reply, step.query.Id)
	}
	return reply, failure
}

func (s *scenario) reload(t *testing.T, k *rig, step *step) {
	t.Helper()
	text, known := s.files[step.from]
	if !known {
		t.Fatalf("session:%d: no file %s", step.line, step.from)
	}
	check(t, os.WriteFile(s.paths[step.reload], text, 0o600))
	update, err := k.lists.Reload(step.reload)
	check(t, err)
	check(t, update.Err())
}

// compareHits holds the journal to the hit of each step, found by message ID.
func compareHits(t *testing.T, steps []*step, journal []*hits.Record, over *carrier) {
	t.Helper()
	byID := map[string][]*hits.Record{}
	for _, r := range journal {
		byID[r.DNS.ID] = append(byID[r.DNS.ID], r)
	}
	for _, step := range steps {
		if step.query == nil {
			continue
		}
		want := 0
		if step.hit != nil {
			want = step.times
		}
		elsewhere := over != nil && !step.speaksOf()
		found := byID[strconv.Itoa(int(step.query.Id))]
		if elsewhere && over.transport == "doq" { // in their order
			found = byID["0"][:min(want, len(byID["0"]))]
			byID["0"] = byID["0"][len(found):]
		}
		if len(found) != want {
			t.Errorf("session:%d: %d hits, expected %d", step.line, len(found), want)
		}
		for _, r := range found {
			if got := fieldOf(r.Raw, "sinkhole.transport"); elsewhere && got != over.transport {
				t.Errorf("session:%d: hit over %s, expected %s", step.line, got, over.transport)
			}
			for field, value := range step.hit {
				if elsewhere && (field == "network.transport" || field == "sinkhole.transport" || field == "sinkhole.source_proven") {
					continue // TestEveryTransportAnswersAlike has these
				}
				if got := fieldOf(r.Raw, field); got != value {
					t.Errorf("session:%d: hit has %s=%q, expected %q\n%s", step.line, field, got, value, r.Raw)
				}
			}
		}
	}
	if n := len(byID["0"]); n > 0 {
		t.Errorf("%d hits more than expected", n)
	}
}

// fieldOf gives a field of a journal line by its path, several values joined by
// commas; "" where it is absent.
func fieldOf(line []byte, path string) string {
	var value any
	if err := json.Unmarshal(line, &value); err != nil {
		return err.Error()
	}
	return strings.Join(valuesAt(value, strings.Split(path, ".")), ",")
}

func valuesAt(value any, path []string) []string {
	switch v := value.(type) {
	case []any:
		var all []string
		for _, element := range v {
			all = append(all, valuesAt(element, path)...)
		}
		return all
	case map[string]any:
		if len(path) > 0 {
			return valuesAt(v[path[0]], path[1:])
		}
	case nil:
		return nil
	}
	return []string{fmt.Sprint(value)}
}
