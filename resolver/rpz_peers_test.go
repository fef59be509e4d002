package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
)

// TestRPZPeers gives the same policy zones and the same upstream to this
// resolver, to BIND and to unbound, and asks all three the same. The language
// of the files is described in their folder's README.md.
func TestRPZPeers(t *testing.T) {
	files, err := filepath.Glob("testdata/rpz/*.txtar")
	check(t, err)
	if len(files) == 0 {
		t.Fatal("no file found")
	}
	peerProgram(t, "named")
	peerProgram(t, "unbound")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			check(t, err)
			c, err := readComparison(archive)
			check(t, err)
			c.run(t)
		})
	}
}

// comparison is one file, read.
type comparison struct {
	zones    []policyZone
	upstream string
	asks     []*ask
	refusal  map[string]string // what an engine says that does not start with these zones
}

// ask is one query, and what each engine gives for it.
type ask struct {
	line    int
	engines []string
	step    step // of which the query, the transport and the source are used
	whole   bool // compare AA, authority and additional too
	want    map[string][]string
	because string
}

// engines are the resolvers compared, as the files name them. Call it when all
// sections before the session are read.
func (c *comparison) engines() []string {
	return slices.DeleteFunc([]string{"sinkhole", "bind", "unbound"}, func(name string) bool {
		_, refuses := c.refusal[name]
		return refuses
	})
}

// zoneHead begins each policy zone.
const zoneHead = "$TTL 300\n$ORIGIN %s.\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\n"

func readComparison(archive *txtar.Archive) (*comparison, error) {
	c := &comparison{refusal: map[string]string{}}
	for _, f := range archive.Files {
		words := strings.Fields(f.Name)
		var err error
		switch {
		case words[0] == "policy" && len(words) > 1:
			err = c.addZone(words[1], words[2:], string(f.Data))
		case words[0] == "without" && len(words) == 2:
			c.refusal[words[1]] = strings.TrimSpace(string(f.Data))
		case f.Name == "upstream":
			c.upstream = string(f.Data)
		case f.Name == "session":
			err = c.readSession(string(f.Data))
		default:
			err = errors.New("expected policy NAME, without ENGINE, upstream or session")
		}
		if err != nil {
			return nil, fmt.Errorf("-- %s --: %w", f.Name, err)
		}
	}
	if len(c.asks) == 0 {
		return nil, errors.New("no query in the session")
	}
	return c, nil
}

func (c *comparison) addZone(name string, options []string, text string) error {
	z := policyZone{name: name, text: fmt.Sprintf(zoneHead, name) + text}
	for _, option := range options {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "action":
			z.action = value
		case "broken":
			z.broken = true
		default:
			return fmt.Errorf("%q: expected action=ACTION or broken", option)
		}
	}
	c.zones = append(c.zones, z)
	return nil
}

func (c *comparison) readSession(text string) error {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		if words[0] == "query" {
			c.asks = append(c.asks, &ask{line: number, engines: c.engines(), want: map[string][]string{}})
		}
		if len(c.asks) == 0 {
			return fmt.Errorf("%d: %q before the first query", number, words[0])
		}
		if err := c.asks[len(c.asks)-1].take(words, line); err != nil {
			return fmt.Errorf("%d: %w", number, err)
		}
	}
	for _, a := range c.asks {
		if err := a.complete(); err != nil {
			return fmt.Errorf("%d: %w", a.line, err)
		}
	}
	return nil
}

func (a *ask) take(words []string, line string) error {
	rest := strings.TrimSpace(strings.TrimPrefix(line, words[0]))
	switch words[0] {
	case "query":
		a.step.from4 = "127.0.0.1"
		if last := len(words) - 1; words[last] == "whole" {
			a.whole, words = true, words[:last]
		}
		return a.step.takeQuery(words[1:])
	case "because":
		a.because = strings.TrimSpace(a.because + " " + rest)
		return nil
	}
	who := strings.Split(words[0], ",")
	if words[0] == "all" {
		who = a.engines
	}
	said, err := normalLine(words[1:], rest)
	if err != nil {
		return err
	}
	for _, engine := range who {
		if !slices.Contains(a.engines, engine) {
			return fmt.Errorf("%q: expected query, because, all or engines of %q", engine, a.engines)
		}
		if (said[0] != ' ') != (len(a.want[engine]) == 0) {
			return fmt.Errorf("%s: expected one response code before the records", engine)
		}
		a.want[engine] = append(a.want[engine], said)
	}
	return nil
}

// normalLine is one line of what an engine says: the response code and flags, or
// a record behind a space.
func normalLine(words []string, rest string) (string, error) {
	if len(words) == 0 {
		return "", errors.New("expected a response code, none or a section with a record")
	}
	switch words[0] {
	case "answer", "authority", "additional":
		rr, err := dns.NewRR(strings.TrimSpace(strings.TrimPrefix(rest, words[0])))
		if err != nil {
			return "", err
		}
		return normalRecord(words[0], rr), nil
	}
	if _, known := dns.StringToRcode[words[0]]; !known && !slices.Contains([]string{"none", "closed", "dies"}, words[0]) {
		return "", fmt.Errorf("%q: expected a response code, none, closed, dies or a section with a record", words[0])
	}
	return strings.Join(words, " "), nil
}

// normalRecord leaves out the TTL, which is each engine's own affair, and the
// spelling of the owner.
func normalRecord(section string, rr dns.RR) string {
	rr = dns.Copy(rr)
	rr.Header().Name = dns.CanonicalName(rr.Header().Name)
	rr.Header().Ttl = 0
	text := strings.Replace(rr.String(), "\t0\tIN\t", " ", 1)
	return " " + section + " " + strings.ReplaceAll(text, "\t", " ")
}

// complete holds a stated difference to be one, with a reason.
func (a *ask) complete() error {
	same := true
	for _, engine := range a.engines {
		if len(a.want[engine]) == 0 {
			return fmt.Errorf("nothing said of %s", engine)
		}
		slices.Sort(a.want[engine][1:])
		same = same && slices.Equal(a.want[engine], a.want["sinkhole"])
	}
	if same != (a.because == "") {
		return errors.New("expected a because where the engines differ, and only there")
	}
	return nil
}

func (c *comparison) run(t *testing.T) {
	said := map[string][][]string{}
	var asking sync.WaitGroup
	for _, name := range c.engines() {
		e := c.start(t, name)
		answers := make([][]string, len(c.asks))
		said[name] = answers
		asking.Go(func() {
			for i, a := range c.asks {
				if a.want[name][0] == "none" { // takes long, and no answer leaves a trace
					asking.Go(func() { answers[i] = a.of(e, silence) })
				} else {
					answers[i] = a.of(e, patience)
				}
			}
		})
	}
	for name, text := range c.refusal {
		c.start(t, name).refuses(t, text)
	}
	asking.Wait()
	for i, a := range c.asks {
		var wrong strings.Builder
		for _, name := range a.engines {
			if got := said[name][i]; !slices.Equal(got, a.want[name]) {
				for _, line := range got {
					fmt.Fprintf(&wrong, "%s %s\n", name, strings.TrimSpace(line))
				}
			}
		}
		if wrong.Len() > 0 {
			q := a.step.query.Question[0]
			t.Errorf("session:%d: %s %s, found\n%s", a.line, q.Name, dns.TypeToString[q.Qtype], wrong.String())
		}
	}
}

// start runs an engine with an upstream of its own.
func (c *comparison) start(t *testing.T, name string) *engine {
	t.Helper()
	upstream := newZone(t, c.upstream)
	switch name {
	case "bind":
		return startNamed(t, c.zones, upstream.addr)
	case "unbound":
		return startUnbound(t, c.zones, upstream.addr)
	}
	o := rigOptions{servers: []string{upstream.addr}, settings: sinkSettings()}
	for _, z := range c.zones {
		path := filepath.Join(t.TempDir(), z.name)
		check(t, os.WriteFile(path, []byte(z.text), 0o600))
		action, err := format.ParseAction(z.action)
		check(t, err)
		o.specs = append(o.specs, blocklist.Spec{Name: z.name, Source: path, Format: format.RPZ, Action: action})
	}
	return &engine{name: name, addr: newRig(t, o).listener.Addr().String()}
}

// silence is how long no answer makes a dropped query.
const silence = 500 * time.Millisecond

// of asks an engine and gives what it says in the form of the files.
func (a *ask) of(e *engine, wait time.Duration) []string {
	packed, err := a.step.exchange(e.addr, wait)
	switch {
	case err == nil:
	case a.want[e.name][0] == "dies" && e.ends():
		return []string{"dies"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return []string{"none"}
	case errors.Is(err, io.EOF):
		return []string{"closed"}
	default:
		return []string{err.Error()}
	}
	var m dns.Msg
	if err := m.Unpack(packed); err != nil {
		return []string{err.Error()}
	}
	said := []string{dns.RcodeToString[m.Rcode]}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"aa", a.whole && m.Authoritative}, {"tc", m.Truncated}, {"ad", m.AuthenticatedData}} {
		if flag.set {
			said[0] += " " + flag.name
		}
	}
	sections := [][]dns.RR{m.Answer}
	if a.whole {
		sections = append(sections, m.Ns, withoutOPT(m.Extra))
	}
	for i, section := range sections {
		for _, rr := range section {
			said = append(said, normalRecord([...]string{"answer", "authority", "additional"}[i], rr))
		}
	}
	slices.Sort(said[1:])
	return said
}

// exchange sends the query of a step and gives the packed reply.
func (s *step) exchange(addr string, wait time.Duration) ([]byte, error) {
	query, err := s.query.Pack()
	if err != nil {
		return nil, err
	}
	network, local := "udp4", net.Addr(&net.UDPAddr{IP: net.ParseIP(s.from4)})
	if s.overTCP {
		network, local = "tcp4", &net.TCPAddr{IP: net.ParseIP(s.from4)}
		query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	}
	dialer := net.Dialer{LocalAddr: local, Timeout: wait}
	c, err := dialer.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	if _, err := c.Write(query); err != nil {
		return nil, err
	}
	if s.overTCP {
		return readTCP(c)
	}
	buffer := make([]byte, 65535)
	n, err := c.Read(buffer)
	return buffer[:n], err
}
