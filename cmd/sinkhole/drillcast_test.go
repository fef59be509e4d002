package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
)

// The drill's addresses. All of 127.0.0.0/8 is the loopback's, so each actor has a source of
// its own without a right to anything.
const (
	drillClients   = "127.0.0.0/10" // who may ask: scanners are beyond
	drillScanners  = "127.90.%d.%d"
	drillForwarder = "127.20.0.1" // asks for its clients, and does not tell who they are
	drillShared    = "127.31.0.1" // CGNAT of which only that is known
	drillMail      = "127.40.0."  // mail gateways: clients.expected
)

// What an actor does at the address that it was given.
const (
	nothing = "nothing"
	knocks  = "knocks"  // connects and says nothing
	greets  = "greets"  // a ClientHello with the name
	calls   = "calls"   // an HTTP request with the name as Host
	streams = "streams" // octets of no protocol
)

// actor is a machine of the drill.
type actor struct {
	source netip.Addr
	ports  *portBlock // it has behind CGNAT; nil: any
	asker  netip.Addr // who asks the resolver for it: itself or a forwarder
	names  []string
	tcp    bool // it asks over TCP
	deaf   bool // it does not wait for the answer
	deed   string
}

// portBlock is a subscriber's ports, each used once.
type portBlock struct{ next, last int }

func (b *portBlock) take() int {
	if b == nil {
		return 0
	}
	if b.next > b.last {
		panic("the drill's block of ports is used up")
	}
	b.next++
	return b.next - 1
}

// finding is what the inventory is to say of an entry.
type finding struct {
	families map[string]bool
	evidence string
	proven   bool
	marked   string // forwarder or shared
}

func (f *finding) String() string {
	families := make([]string, 0, len(f.families))
	for name := range f.families {
		families = append(families, name)
	}
	slices.Sort(families)
	return strings.TrimSpace(fmt.Sprintf("%s, %s, proven %t %s", strings.Join(families, "+"), f.evidence, f.proven, f.marked))
}

// cast is who plays, and what is to be found.
type cast struct {
	random   *rand.Rand
	ownAddrs bool // each hit has its own sinkhole address
	actors   []*actor
	infected int
	list     strings.Builder // CSV
	blocks   strings.Builder // hits.names
	families [][]string      // names of each
	expected map[string]*finding
}

const drillFamilies = 12

func familyName(i int) string { return fmt.Sprintf("Family %02d", i) }

func newCast(seed uint64, ownAddrs bool) *cast {
	c := &cast{random: rand.New(rand.NewPCG(seed, 0)), ownAddrs: ownAddrs, expected: make(map[string]*finding)}
	c.list.WriteString("indicator,family\n")
	c.blocks.WriteString("address,prefix,ports,subscriber,shared\n" + "," + drillShared + "/32,,,yes\n")
	for i := range drillFamilies {
		var names []string
		for n := range 8 {
			names = append(names, fmt.Sprintf("c%d.family%02d.example", n, i))
			fmt.Fprintf(&c.list, "%s,%s\n", names[n], familyName(i))
		}
		c.families = append(c.families, names)
	}
	c.direct(130)
	c.behindForwarder(30)
	c.inBlocks(30)
	c.inShared(10)
	c.cleanOnes(5000)
	c.forged(100)
	c.gateways(3)
	c.scanners(40)
	c.random.Shuffle(len(c.actors), func(i, j int) { c.actors[i], c.actors[j] = c.actors[j], c.actors[i] })
	return c
}

// infection gives an actor one or two families, and tells which.
func (c *cast) infection(a *actor, most int) (families []string) {
	c.infected++
	first := c.infected % drillFamilies
	for i := range 1 + c.random.IntN(most) {
		family := (first + i*5) % drillFamilies
		families = append(families, familyName(family))
		for _, n := range c.random.Perm(8)[:1+c.random.IntN(3)] {
			a.names = append(a.names, c.families[family][n])
		}
	}
	c.actors = append(c.actors, a)
	return families
}

// expect adds what an actor shows of itself to the entry under a key.
func (c *cast) expect(key, marked string, families []string, deed string, proven bool) {
	f := c.expected[key]
	if f == nil {
		f = &finding{families: make(map[string]bool), evidence: "queried", marked: marked}
		c.expected[key] = f
	}
	for _, name := range families {
		f.families[name] = true
	}
	switch deed {
	case calls, streams:
		f.evidence = "sent"
	case knocks, greets:
		if f.evidence == "queried" {
			f.evidence = "connected"
		}
	}
	f.proven = f.proven || proven || deed != nothing
}

// direct are machines with an address of their own. Who only asks over UDP is found as others
// are, but nothing proves that it asked.
func (c *cast) direct(n int) {
	for i := range n {
		deeds := []string{nothing, knocks, greets, calls, streams}
		a := &actor{source: addrOf("127.10.%d.%d", i), tcp: c.random.IntN(3) == 0, deed: deeds[i%len(deeds)]}
		a.asker = a.source
		c.expect(a.source.String(), "", c.infection(a, 2), a.deed, a.tcp)
	}
}

// behindForwarder are machines whose queries come from one address. A third stays at asking,
// and is not to be told apart; of the others, who names the name is. Who does not is found
// only by a sinkhole address that nobody else was given.
func (c *cast) behindForwarder(n int) {
	for i := range n {
		deeds := []string{nothing, greets, calls}
		if c.ownAddrs {
			deeds = []string{nothing, knocks, streams}
		}
		a := &actor{source: addrOf("127.21.%d.%d", i), asker: netip.MustParseAddr(drillForwarder), deed: deeds[i%len(deeds)]}
		families := c.infection(a, 1)
		c.expect(drillForwarder, "forwarder", families, nothing, false)
		if a.deed != nothing {
			c.expect(a.source.String(), "", families, a.deed, true)
		}
	}
}

// inBlocks are subscribers behind CGNAT, six to an address, beside as many clean ones.
func (c *cast) inBlocks(n int) {
	const each, first, size = 12, 10_000, 1000
	for i := range 2 * n {
		deeds := []string{nothing, greets, calls}
		if c.ownAddrs {
			deeds = []string{nothing, knocks, streams}
		}
		subscriber := fmt.Sprintf("S-%04d", i)
		block := first + i%each*size
		a := &actor{source: addrOf("127.30.%d.%d", i/each), ports: &portBlock{block, block + size - 1}, deed: deeds[i/2%len(deeds)]}
		a.asker = a.source
		fmt.Fprintf(&c.blocks, "%s,,%d-%d,%s,\n", a.source, block, block+size-1, subscriber)
		if i%2 == 0 {
			c.expect(subscriber, "", c.infection(a, 2), a.deed, false)
			continue
		}
		a.names, a.deed = c.cleanNames(), nothing
		c.actors = append(c.actors, a)
	}
}

// inShared are machines behind CGNAT without blocks: all of them are one entry.
func (c *cast) inShared(n int) {
	for i := range n {
		a := &actor{source: netip.MustParseAddr(drillShared), deed: []string{nothing, calls}[i%2]}
		a.asker = a.source
		c.expect(drillShared, "shared", c.infection(a, 1), a.deed, false)
	}
}

// cleanOnes ask for names that are not listed, some of them much like those that are, half a
// hundred by the forwarder.
func (c *cast) cleanOnes(n int) {
	for i := range n {
		a := &actor{source: addrOf("127.32.%d.%d", i), names: c.cleanNames(), deed: nothing, tcp: i%50 == 0}
		a.asker = a.source
		if i%100 == 0 {
			a.asker = netip.MustParseAddr(drillForwarder)
		}
		c.actors = append(c.actors, a)
	}
}

func (c *cast) cleanNames() []string {
	n := c.random.IntN(8)
	return []string{[]string{
		fmt.Sprintf("www%d.clean.example", n), fmt.Sprintf("xc%d.family%02d.example", n, n), fmt.Sprintf("family%02d.example", n), fmt.Sprintf("c%d.family%02d.example.clean.example", n, n),
	}[c.random.IntN(4)]}
}

// forged stand for datagrams whose source somebody made up: on the way they differ in nothing
// from those of a machine that asks one listed name once over UDP, and never takes an answer
// nor connects. They are entries, as whoever they name may have asked, and none is proven.
func (c *cast) forged(n int) {
	for i := range n {
		a := &actor{source: addrOf("127.60.%d.%d", i), deaf: true, deed: nothing}
		a.asker = a.source
		family := i % drillFamilies
		a.names = c.families[family][:1]
		c.actors = append(c.actors, a)
		c.expect(a.source.String(), "", []string{familyName(family)}, nothing, false)
	}
}

// gateways look listed names up for a living, and follow what they find.
func (c *cast) gateways(n int) {
	for i := range n {
		a := &actor{source: netip.MustParseAddr(fmt.Sprint(drillMail, i+1)), deed: calls, tcp: i == 0}
		a.asker = a.source
		for _, names := range c.families {
			a.names = append(a.names, names[:2]...)
		}
		c.actors = append(c.actors, a)
	}
}

// scanners know no name.
func (c *cast) scanners(n int) {
	for i := range n {
		c.actors = append(c.actors, &actor{source: addrOf(drillScanners, i), deed: []string{knocks, greets, calls, streams}[i%4]})
	}
}

func addrOf(format string, i int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(format, i/250, 1+i%250))
}
