package console

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sinkhole/hits"
	"sinkhole/hits/inventory"
)

// overviewPage is the first screen.
type overviewPage struct {
	*Overview
	Plot    *plot
	Trouble []List // lists that are not as they should be
}

func (s *site) overviewPage(r *http.Request, q *query) (*overviewPage, error) {
	o, err := s.overview(r, q)
	if err != nil {
		return nil, err
	}
	p := &overviewPage{Overview: o, Plot: newPlot(o.Trends, o.Since, q.now)}
	for _, l := range o.Lists {
		if l.State != "ok" {
			p.Trouble = append(p.Trouble, l)
		}
	}
	return p, nil
}

// pager leads through pages.
type pager struct {
	First, Last, Total int
	Before, Next       string // links; "": none
}

func newPager(p Page, shown int, q *query) pager {
	out := pager{First: min(p.Offset+1, p.Total), Last: p.Offset + shown, Total: p.Total}
	if p.Offset > 0 {
		out.Before = q.With("offset", offsetText(max(p.Offset-p.Limit, 0)))
	}
	if out.Last < p.Total {
		out.Next = q.With("offset", offsetText(out.Last))
	}
	return out
}

func offsetText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

type machinesPage struct {
	*Machines
	Pager pager
}

func (s *site) machinesPage(r *http.Request, q *query) (*machinesPage, error) {
	m, err := s.machines(r, q)
	if err != nil {
		return nil, err
	}
	return &machinesPage{Machines: m, Pager: newPager(m.Page, len(m.Machines), q)}, nil
}

// Sorted is the link that sorts by a column, or turns the order round.
func (q *query) Sorted(column string) string {
	order := ""
	if q.Or("sort", "last_seen") == column {
		order = "asc"
		if q.Or("order", map[bool]string{true: "asc", false: "desc"}[column == "machine"]) == "asc" {
			order = "desc"
		}
	}
	return q.With("sort", column, "order", order, "offset", "")
}

// Order is how a column is sorted, in the words of ARIA.
func (q *query) Order(column string) string {
	if q.Or("sort", "last_seen") != column {
		return "none"
	}
	if q.Or("order", map[bool]string{true: "asc", false: "desc"}[column == "machine"]) == "asc" {
		return "ascending"
	}
	return "descending"
}

type machinePage struct {
	*MachineDetail
	Plot     *plot
	Timeline []entry // the latest first
	Export   map[string]string
}

func (s *site) machinePage(r *http.Request, q *query) (*machinePage, error) {
	d, err := s.machine(r, q)
	if err != nil {
		return nil, err
	}
	since, _ := q.span()
	p := &machinePage{MachineDetail: d, Timeline: timeline(d.Events), Export: map[string]string{"since": q.Or("since", defaultSince), "until": q.Get("until")}}
	p.Plot = newPlot([]*inventory.Trend{{Family: "hits", Hits: d.Machine.Hits, Hours: d.Machine.Hours}}, since, q.now)
	if len(d.Machine.Hours) == 0 {
		p.Plot = nil
	}
	switch {
	case d.Machine.MAC != "":
		p.Export["mac"] = d.Machine.MAC
	case d.Machine.Address != "":
		p.Export["client"] = d.Machine.Address
	default:
		p.Export["peer"] = d.Machine.Via
	}
	return p, nil
}

// entry is a line of a timeline.
type entry struct {
	ID        string
	Time      time.Time
	Client    string
	Kind      string // asked, connected, sent data, or what somebody did
	What      string // the name, or what was connected to
	Detail    string
	Indicator string
	Families  []string
	Lists     []string
	Action    string
	Count     uint64
}

func timeline(events []Event) []entry {
	all := make([]entry, 0, len(events))
	for _, e := range slices.Backward(events) {
		all = append(all, entryOf(e.Record))
	}
	// Merged lines are written later than they began.
	slices.SortStableFunc(all, func(a, b entry) int { return b.Time.Compare(a.Time) })
	return all
}

func entryOf(r *hits.Record) entry {
	e := entry{
		ID: r.Event.ID, Time: r.Time, Kind: "asked", What: r.DNS.Question.Name, Detail: r.DNS.Question.Type, Indicator: r.Threat.Indicator.Name,
		Families: r.Sinkhole.Families, Action: r.Event.Action, Count: r.Sinkhole.Count,
	}
	switch {
	case r.Client.MAC != "":
		e.Client = r.Client.MAC
	case r.Client.IP.IsValid() && r.Client.Port != 0:
		e.Client = netip.AddrPortFrom(r.Client.IP, r.Client.Port).String()
	case r.Client.IP.IsValid():
		e.Client = r.Client.IP.String()
	}
	for _, l := range r.Sinkhole.Lists {
		if !slices.Contains(e.Lists, l.Name) {
			e.Lists = append(e.Lists, l.Name)
		}
	}
	switch r.Event.Dataset {
	case hits.DatasetLanding:
		e.Kind, e.What = evidenceWord(r.Sinkhole.Evidence), netip.AddrPortFrom(r.Destination.IP, r.Destination.Port).String()
		e.Detail = strings.Join(strings.Fields(strings.Join([]string{r.HTTP.Request.Method, r.URL.Domain + r.URL.Path, r.TLS.Client.ServerName, r.TLS.Client.JA4, r.UserAgent.Original}, " ")), " ")
		if e.Indicator == "" {
			e.Indicator = r.DNS.Question.Name
		}
	case hits.DatasetAudit:
		e.Kind, e.What, e.Detail, e.Client = r.Event.Action, r.Sinkhole.Object, r.Event.Reason, r.User.Name
	}
	return e
}

type indicatorsPage struct {
	*Indicators
	Pager   pager
	Verdict *Verdict // of the name asked for
	Fault   string   // why there is none
}

func (s *site) indicatorsPage(r *http.Request, q *query) (*indicatorsPage, error) {
	i, err := s.indicators(r, q)
	if err != nil {
		return nil, err
	}
	p := &indicatorsPage{Indicators: i, Pager: newPager(i.Page, len(i.Indicators), q)}
	if name := q.Get("name"); name != "" {
		if p.Verdict, err = s.Judge(name, "", ""); err != nil {
			p.Fault = err.Error()
		}
	}
	return p, nil
}

type indicatorPage struct {
	*IndicatorDetail
	Name    string
	Verdict *Verdict
	Fault   string
	Pager   pager
	Allowed *Allowed // the entry of allow_file that is this very name
}

func (s *site) indicatorPage(r *http.Request, q *query) (*indicatorPage, error) {
	d, err := s.indicator(r, q)
	if err != nil {
		return nil, err
	}
	p := &indicatorPage{IndicatorDetail: d, Name: strings.TrimSuffix(strings.ToLower(r.PathValue("name")), "."), Pager: newPager(d.Page, len(d.Machines), q)}
	address := p.Name
	if prefix, err := netip.ParsePrefix(p.Name); err == nil {
		address = prefix.Addr().String()
	}
	if p.Verdict, err = s.Judge(address, "", ""); err != nil {
		p.Fault = err.Error()
	}
	allowed, err := s.Allowed()
	if i := slices.IndexFunc(allowed, func(a Allowed) bool { return a.Entry == p.Name }); i >= 0 {
		p.Allowed = &allowed[i]
	}
	return p, err
}

type listsPage struct {
	Lists   []List
	Allowed []Allowed
}

func (s *site) listsPage(*http.Request, *query) (*listsPage, error) {
	allowed, err := s.Allowed()
	return &listsPage{s.Lists(), allowed}, err
}

type livePage struct {
	Timeline []entry
	Stream   string
}

// liveShown is how many events the live page begins with.
const liveShown = 50

func (s *site) livePage(r *http.Request, q *query) (*livePage, error) {
	f := hits.Filter{Since: q.now.Add(-24 * time.Hour), Limit: liveShown}
	f.Client, f.MAC, f.Family, f.List, f.Unexpected = q.prefix("client"), q.mac("mac"), q.text("family"), q.text("list"), q.flag("unexpected")
	if q.err != nil {
		return nil, q.err
	}
	all, err := s.events(r.Context(), f)
	if err != nil {
		return nil, err
	}
	values := url.Values{}
	for _, name := range streamParams() {
		if text := q.text(name); text != "" {
			values.Set(name, text)
		}
	}
	return &livePage{timeline(all), apiRoot + "/events/stream?" + values.Encode()}, nil
}
