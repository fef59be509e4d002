package console

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sinkhole/hits"
	"sinkhole/hits/inventory"
)

// Machine is a machine of the inventory, by a name that stays.
type Machine struct {
	ID string `json:"id"`
	*inventory.Machine
}

// machineID is what a machine is known by: an address, a MAC address, or a word and the ids of
// an appliance or a subscriber.
func machineID(m *inventory.Machine) string {
	device := func(kind, id string) string {
		if m.Address == "" {
			return kind + " " + id
		}
		return kind + " " + id + " " + m.Address
	}
	switch {
	case m.Forwarder:
		return "forwarder " + m.Address
	case m.MAC != "":
		return m.MAC
	case m.Device != "":
		return device("device", m.Device)
	case m.CPE != "":
		return device("cpe", m.CPE)
	case m.BySubscriber:
		return "subscriber " + m.Subscriber
	}
	return m.Address
}

// inventory reads views, one after the other, out of the way of what answers queries.
func (s *site) inventory(ctx context.Context, read func(*inventory.Reader) error) error {
	free, err := s.place(ctx, s.views, placeWithin)
	if err != nil {
		return err
	}
	defer free()
	s.Background(func() {
		var r *inventory.Reader
		if r, err = s.Inventory(ctx); err != nil {
			err = &fault{http.StatusServiceUnavailable, "there is no inventory of machines to read: " + err.Error()}
			return
		}
		defer r.Close()
		err = read(r)
	})
	return err
}

// machineOrders are the orders of machines.
func machineOrders() []string {
	return []string{"last_seen", "first_seen", "hits", "evidence", "machine"}
}

// Machines is a page of machines.
type Machines struct {
	Page
	Machines []Machine `json:"machines"`
}

func machineParams() []string {
	return slices.Concat([]string{"q", "sort", "order", "new_since"}, filterParams(), pageParams())
}

func (s *site) machines(r *http.Request, q *query) (*Machines, error) {
	f, p := q.filter(), q.page()
	f.WhoIs = s.WhoIs
	sort, newest := q.word("sort", "last_seen", machineOrders()...), q.moment("new_since", "")
	order := q.word("order", map[bool]string{true: "asc", false: "desc"}[sort == "machine"], "asc", "desc")
	text := strings.ToLower(q.text("q"))
	if q.err != nil {
		return nil, q.err
	}
	out := &Machines{Page: p}
	err := s.inventory(r.Context(), func(i *inventory.Reader) error {
		v, err := i.Views(r.Context(), f, false)
		if err != nil {
			return err
		}
		all := v.Machines()
		shown := func(some []*inventory.Machine) { v.Describe(some...) }
		if text != "" { // it may stand in any word
			v.Describe(all...)
			shown = func([]*inventory.Machine) {}
		}
		all = slices.DeleteFunc(all, func(m *inventory.Machine) bool {
			return text != "" && !mentions(m, text) || !newest.IsZero() && int64(m.FirstSeen) < newest.UnixNano()
		})
		sortMachines(all, sort, order == "desc")
		page := cut(&out.Page, all)
		shown(page)
		for _, m := range page {
			out.Machines = append(out.Machines, Machine{machineID(m), m})
		}
		return nil
	})
	if out.Machines == nil {
		out.Machines = []Machine{}
	}
	return out, err
}

// mentions tells whether a text, in lower case, stands in what is shown of a machine.
func mentions(m *inventory.Machine, text string) bool {
	in := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	return m.Forwarder && in("forwarder") || m.Shared && in("shared") || in(m.Address) || in(m.Name) || in(m.Owner) || in(m.Site) || in(m.Subscriber) || in(m.MAC) || in(m.CPE) || in(m.Device) || in(m.Via) ||
		slices.ContainsFunc(m.Families, in) || slices.ContainsFunc(m.Lists, in) ||
		slices.ContainsFunc(m.Addresses, func(a inventory.Address) bool { return in(a.Address) }) ||
		slices.ContainsFunc(m.Indicators, func(i inventory.IndicatorCount) bool { return in(i.Name) })
}

func evidenceRank(m *inventory.Machine) int {
	return map[string]int{inventory.Queried: 1, inventory.Connected: 2, inventory.Sent: 3}[m.Evidence]
}

func sortMachines(all []*inventory.Machine, by string, down bool) {
	compare := func(a, b *inventory.Machine) int {
		switch by {
		case "first_seen":
			return cmp.Compare(a.FirstSeen, b.FirstSeen)
		case "hits":
			return cmp.Compare(a.Hits, b.Hits)
		case "evidence":
			return cmp.Compare(evidenceRank(a), evidenceRank(b))
		case "machine":
			x, _ := netip.ParseAddr(a.Address)
			y, _ := netip.ParseAddr(b.Address)
			return cmp.Or(x.Compare(y), cmp.Compare(machineID(a), machineID(b)))
		}
		return cmp.Compare(a.LastSeen, b.LastSeen)
	}
	slices.SortStableFunc(all, func(a, b *inventory.Machine) int {
		if down {
			a, b = b, a
		}
		return compare(a, b)
	})
}

// MachineDetail is a machine and what it did, the latest last.
type MachineDetail struct {
	Machine Machine `json:"machine"`
	Events  []Event `json:"events"`
	More    bool    `json:"more"` // there are earlier ones in the time asked for
}

func detailParams() []string { return []string{"since", "until", "limit"} }

func (s *site) machine(r *http.Request, q *query) (*MachineDetail, error) {
	f := inventory.Filter{Hours: true, WhoIs: s.WhoIs}
	f.Since, f.Until = q.span()
	limit := q.number("limit", defaultLimit, 1, maxLimit)
	if q.err != nil {
		return nil, q.err
	}
	id := r.PathValue("id")
	if addr, err := netip.ParseAddr(id); err == nil {
		f.Client = netip.PrefixFrom(addr, addr.BitLen())
	}
	var found *inventory.Machine
	err := s.inventory(r.Context(), func(i *inventory.Reader) error {
		all, err := i.Machines(r.Context(), f)
		if n := slices.IndexFunc(all, func(m *inventory.Machine) bool { return machineID(m) == id }); n >= 0 {
			found = all[n]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &fault{http.StatusNotFound, "no machine " + quoted(id) + " had hits in the time asked for: look further back with since"}
	}
	out := &MachineDetail{Machine: Machine{id, found}}
	journal := hits.Filter{Since: f.Since, Until: f.Until, Limit: limit + 1, Only: ofMachine(found, s.WhoIs)}
	if len(found.Addresses) == 0 && !found.BySubscriber {
		journal.Client = f.Client
	}
	out.Events, err = s.events(r.Context(), journal)
	if out.More = len(out.Events) > limit; out.More {
		out.Events = out.Events[1:]
	}
	return out, err
}

// ofMachine tells the records of a machine from others'. Whose a connection is only its address
// tells, at the times at which the machine had it; whose an address was, or a block of its ports,
// is asked of who knows.
func ofMachine(m *inventory.Machine, who inventory.WhoIs) func(*hits.Record) bool {
	if who != nil && (m.BySubscriber || m.Shared) {
		return ofSubscriber(m, who)
	}
	told := m.MAC != "" || m.Device != "" || m.CPE != "" // by a forwarder
	return func(r *hits.Record) bool {
		here := r.Client.IP.String() == m.Address
		switch {
		case m.Forwarder:
			return r.Sinkhole.Forwarder && here
		case r.Event.Dataset == hits.DatasetLanding:
			return here && !told || told && had(m, r)
		case m.MAC != "":
			return r.Client.MAC == m.MAC
		case told:
			return ofAppliance(m, r) && (m.Address == "" || here)
		}
		return here && ofAddressAlone(r)
	}
}

// ofAddressAlone tells that nothing but its address tells whose a record is.
func ofAddressAlone(r *hits.Record) bool {
	id := &r.Sinkhole.Identity
	return !r.Sinkhole.Forwarder && r.Client.MAC == "" && !(id.Trusted && (id.Device != "" || id.CPE != ""))
}

// ofSubscriber is ofMachine for a subscriber, or for an address whose subscriber is not known.
func ofSubscriber(m *inventory.Machine, who inventory.WhoIs) func(*hits.Record) bool {
	return func(r *hits.Record) bool {
		if r.Sinkhole.Forwarder || r.Client.MAC != "" {
			return false
		}
		had := who(r.Asker()).Subscriber
		return m.BySubscriber && had == m.Subscriber || m.Shared && had == "" && r.Client.IP.String() == m.Address
	}
}

func ofAppliance(m *inventory.Machine, r *hits.Record) bool {
	id := &r.Sinkhole.Identity
	if m.Device != "" {
		return id.Trusted && id.Device == m.Device
	}
	return id.Trusted && id.Device == "" && id.CPE == m.CPE
}

// had tells whether a machine had the address of a record at its time.
func had(m *inventory.Machine, r *hits.Record) bool {
	const after = inventory.Time(10 * time.Minute)
	at := inventory.Time(r.Time.UnixNano())
	return slices.ContainsFunc(m.Addresses, func(a inventory.Address) bool {
		return a.Address == r.Client.IP.String() && a.FirstSeen <= at && at <= a.LastSeen+after
	})
}

// Families is the malware families.
type Families struct {
	Families []*inventory.Family `json:"families"`
}

func (s *site) families(r *http.Request, q *query) (*Families, error) {
	f := q.filter()
	if q.err != nil {
		return nil, q.err
	}
	out := new(Families)
	err := s.inventory(r.Context(), func(i *inventory.Reader) (err error) {
		out.Families, err = i.Families(r.Context(), f)
		return err
	})
	return out, err
}

// Indicators is a page of indicators.
type Indicators struct {
	Page
	Indicators []*inventory.Indicator `json:"indicators"`
}

func indicatorParams() []string { return slices.Concat([]string{"q"}, filterParams(), pageParams()) }

func (s *site) indicators(r *http.Request, q *query) (*Indicators, error) {
	f, p, text := q.filter(), q.page(), strings.ToLower(q.text("q"))
	if q.err != nil {
		return nil, q.err
	}
	out := &Indicators{Page: p}
	err := s.inventory(r.Context(), func(i *inventory.Reader) error {
		all, err := i.Indicators(r.Context(), f)
		if err != nil {
			return err
		}
		in := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
		all = slices.DeleteFunc(all, func(i *inventory.Indicator) bool {
			return text != "" && !in(i.Name) && !slices.ContainsFunc(i.Families, in) && !slices.ContainsFunc(i.Lists, in)
		})
		out.Indicators = cut(&out.Page, all)
		return nil
	})
	return out, err
}

// IndicatorDetail is an indicator, one of each type that has the name, and who asked for it.
type IndicatorDetail struct {
	Page
	Indicators []*inventory.Indicator `json:"indicators"`
	Machines   []Machine              `json:"machines"`
}

func (s *site) indicator(r *http.Request, q *query) (*IndicatorDetail, error) {
	f, p := q.filter(), q.page()
	f.WhoIs = s.WhoIs
	if q.err != nil {
		return nil, q.err
	}
	name := strings.TrimSuffix(strings.ToLower(r.PathValue("name")), ".")
	out := &IndicatorDetail{Page: p, Machines: []Machine{}}
	err := s.inventory(r.Context(), func(i *inventory.Reader) error {
		v, err := i.Views(r.Context(), f, false)
		if err != nil {
			return err
		}
		out.Indicators = slices.DeleteFunc(v.Indicators(), func(i *inventory.Indicator) bool { return i.Name != name })
		for _, m := range cut(&out.Page, v.Asking(name)) {
			v.Describe(m)
			out.Machines = append(out.Machines, Machine{machineID(m), m})
		}
		return nil
	})
	return out, err
}

// Overview is the state of the network, and of what watches it.
type Overview struct {
	Since    time.Time           `json:"since"`
	ReadTo   time.Time           `json:"read_to"` // of the journal, by the inventory
	Machines MachineCounts       `json:"machines"`
	Latest   []Machine           `json:"latest"` // the gravest first
	Families []*inventory.Family `json:"families"`
	Trends   []*inventory.Trend  `json:"trends"`
	Lists    []List              `json:"lists"`
	Resolver Resolver            `json:"resolver"`
	Name     string              `json:"name"`
	Version  string              `json:"version"`
}

// MachineCounts are numbers of machines, forwarders and shared addresses left out of all but
// their own.
type MachineCounts struct {
	All        int `json:"all"`
	Queried    int `json:"queried"` // no more than that
	Connected  int `json:"connected"`
	Sent       int `json:"sent"`
	New        int `json:"new"` // first seen in the last 24 h
	Forwarders int `json:"forwarders"`
	Shared     int `json:"shared"` // addresses of several subscribers
}

const (
	overviewMachines = 10
	overviewFamilies = 8
)

func overviewParams() []string { return []string{"since"} }

func (s *site) overview(r *http.Request, q *query) (*Overview, error) {
	f := inventory.Filter{Since: q.moment("since", defaultSince), WhoIs: s.WhoIs}
	if q.err != nil {
		return nil, q.err
	}
	out := &Overview{Since: f.Since, Lists: s.Lists(), Resolver: s.Resolver(), Name: s.Name, Version: s.Version, Latest: []Machine{}}
	err := s.inventory(r.Context(), func(i *inventory.Reader) (err error) {
		if out.ReadTo, err = i.ReadTo(r.Context()); err != nil {
			return err
		}
		v, err := i.Views(r.Context(), f, true)
		if err != nil {
			return err
		}
		all := v.Machines()
		out.Machines.count(all, q.now.Add(-24*time.Hour))
		all = slices.DeleteFunc(all, func(m *inventory.Machine) bool { return m.Forwarder })
		slices.SortStableFunc(all, func(a, b *inventory.Machine) int { return evidenceRank(b) - evidenceRank(a) })
		for _, m := range all[:min(len(all), overviewMachines)] {
			v.Describe(m)
			out.Latest = append(out.Latest, Machine{machineID(m), m})
		}
		out.Families, out.Trends = v.Families(), v.Trends()
		out.Families = out.Families[:min(len(out.Families), overviewFamilies)]
		out.Trends = out.Trends[:min(len(out.Trends), overviewFamilies)]
		return nil
	})
	return out, err
}

func (c *MachineCounts) count(all []*inventory.Machine, yesterday time.Time) {
	for _, m := range all {
		if m.Forwarder {
			c.Forwarders++
			continue
		}
		if m.Shared {
			c.Shared++
			continue
		}
		c.All++
		switch m.Evidence {
		case inventory.Sent:
			c.Sent++
		case inventory.Connected:
			c.Connected++
		default:
			c.Queried++
		}
		if int64(m.FirstSeen) >= yesterday.UnixNano() {
			c.New++
		}
	}
}
