package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"sinkhole/hits/inventory"
)

// The drill: 200 infected machines of 12 families among 5,000 clean ones, mail gateways,
// scanners and forged sources; the inventory has each one that is to be told apart, with its
// families and evidence, and no other.
func TestDrill(t *testing.T) {
	drill(t, newCast(1, false), "127.0.66.1", "127.0.66.1", "127.0.66.1")
}

// Where each hit has an address of its own, machines behind the forwarder and behind CGNAT
// need not name what they look for.
func TestDrillWithOwnAddresses(t *testing.T) {
	drill(t, newCast(2, true), "127.0.64.0/20", "0.0.0.0", "127.0.64.9")
}

// drill plays a cast against a server whose sinkhole is at an address or prefix.
func drill(t *testing.T, c *cast, sinkhole, listen, scanned string) {
	if l, err := net.Listen("tcp", "127.0.66.1:0"); err != nil {
		if os.Getenv("SINKHOLE_REQUIRE_TOOLS") != "" {
			t.Fatalf("not all of 127.0.0.0/8 is here: %v", err)
		}
		t.Skipf("not all of 127.0.0.0/8 is here: %v", err)
	} else {
		l.Close()
	}
	if c.infected != 200 {
		t.Fatalf("%d machines are infected, expected 200", c.infected)
	}
	dir := t.TempDir()
	landing := freePort(t)
	for name, text := range map[string]string{"list.csv": c.list.String(), "blocks.csv": c.blocks.String()} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := startProcess(t, dir, fmt.Sprintf(`sinkhole: {ipv4: %s}
clients: {allow: [%s], forwarders: [%s], expected: [%s0/24]}
hits: {journal: {path: %q}, inventory: %q, names: [%q]}
landing: {http: ["%s:%s"], tls: [], tcp: []}
lists: [{name: drill, source: %q}]`, sinkhole, drillClients, drillForwarder, drillMail, dir+"/hits", dir+"/inventory.db", dir+"/blocks.csv", listen, landing, dir+"/list.csv"))
	port, _ := strconv.Atoi(landing)
	began := time.Now()
	playAll(t, &stage{resolver: p.dns, scanned: netip.MustParseAddr(scanned), port: uint16(port)}, c.actors)
	t.Logf("%d actors played in %s", len(c.actors), time.Since(began).Round(time.Millisecond))
	visits := 0
	for _, a := range c.actors {
		if a.deed != nothing {
			visits++
		}
	}
	if err := eventually(func() error {
		m := p.metrics()
		if told := m.sum("sinkhole_landing_connections_total", ""); int(told) != visits || m.sum("sinkhole_landing_queued", "") != 0 {
			return fmt.Errorf("the landing has told of %.0f connections, expected %d", told, visits)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if a := p.account(); a.Lost != 0 {
		t.Errorf("%d hits were lost", a.Lost)
	}
	var machines []*inventory.Machine
	if err := json.Unmarshal([]byte(p.run("hits", "machines", "--format", "json", "--since", "1d")), &machines); err != nil {
		t.Fatal(err)
	}
	compareCast(t, c.expected, machines)
}

// playAll has 16 actors on the stage at a time.
func playAll(t *testing.T, s *stage, actors []*actor) {
	t.Helper()
	next := make(chan *actor)
	var playing sync.WaitGroup
	for range 16 {
		playing.Go(func() {
			for a := range next {
				if err := s.play(a); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, a := range actors {
		next <- a
	}
	close(next)
	playing.Wait()
}

func compareCast(t *testing.T, expected map[string]*finding, machines []*inventory.Machine) {
	t.Helper()
	found := make(map[string]string)
	for _, m := range machines {
		key := m.Address
		if m.Subscriber != "" {
			key = m.Subscriber
		}
		f := &finding{families: make(map[string]bool), evidence: m.Evidence, proven: m.SourceProven}
		for _, name := range m.Families {
			f.families[name] = true
		}
		switch {
		case m.Forwarder:
			f.marked = "forwarder"
		case m.Shared:
			f.marked = "shared"
		}
		if found[key] != "" {
			t.Errorf("%s is there twice", key)
		}
		found[key] = f.String()
	}
	for _, key := range slices.Sorted(maps.Keys(expected)) {
		if got, want := found[key], expected[key].String(); got != want {
			t.Errorf("%s: found %q, expected %q", key, got, want)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		if expected[key] == nil {
			t.Errorf("%s: found %q, expected no entry", key, found[key])
		}
	}
	t.Logf("%d entries, as expected of %d", len(found), len(expected))
}
