package console

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sinkhole/hits"
)

// Event is a line of the journal, which is what it is in JSON.
type Event struct{ *hits.Record }

// MarshalJSON implements [json.Marshaler].
func (e Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

// readWithin bounds the reading of the journal for an answer.
const readWithin = 20 * time.Second

// events are the newest that a filter lets through, oldest first.
func (s *site) events(ctx context.Context, f hits.Filter) ([]Event, error) {
	free, err := s.place(ctx, s.reads, placeWithin)
	if err != nil {
		return nil, err
	}
	defer free()
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	f.Damaged = func(hits.Damage) {} // what can be read is shown; hits verify tells of the rest
	all := []Event{}
	s.Background(func() {
		err = hits.Read(ctx, s.Journal, f, func(r *hits.Record) error {
			all = append(all, Event{r})
			return nil
		})
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = &fault{http.StatusServiceUnavailable, "the journal of that time takes longer than " + readWithin.String() + " to read: ask for a shorter one with since and until, or export it"}
	}
	return all, err
}

// eventParams are those of [query.journal].
func eventParams() []string {
	return []string{"since", "until", "client", "port", "peer", "mac", "family", "list", "unexpected"}
}

func (q *query) journal() (f hits.Filter) {
	f.Since, f.Until = q.span()
	f.Client, f.Peer = q.prefix("client"), q.prefix("peer")
	f.Port = uint16(q.number("port", 0, 1, 65535))
	f.MAC = q.mac("mac")
	f.Family, f.List = q.text("family"), q.text("list")
	f.Unexpected = q.flag("unexpected")
	return f
}

func (q *query) mac(name string) string {
	text := q.text(name)
	if text == "" {
		return ""
	}
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		q.fail("%s: found %s, expected a MAC address such as 00-00-5E-00-53-23", name, quoted(text))
	}
	return strings.ToUpper(strings.ReplaceAll(mac.String(), ":", "-"))
}

// Events is a page of the journal, the latest last.
type Events struct {
	Events []Event `json:"events"`
	// Before is what gives the page before this one; 0: there is none.
	Before uint64 `json:"before"`
}

// datasets are the kinds of lines that can be asked for.
func datasets() []string { return []string{"hit", "landing", "audit", "journal"} }

func (s *site) journal(r *http.Request, q *query) (*Events, error) {
	f := q.journal()
	before, limit := uint64(q.number("before", 0, 1, 1<<62)), q.number("limit", defaultLimit, 1, maxLimit)
	kind := q.word("dataset", "", datasets()...)
	f.Limit = limit + 1
	f.Audit, f.Journal = kind == "audit", kind == "journal"
	f.Only = func(r *hits.Record) bool {
		return (before == 0 || r.Event.Sequence < before) && (kind == "" || r.Event.Dataset == "sinkhole."+kind)
	}
	if q.err != nil {
		return nil, q.err
	}
	all, err := s.events(r.Context(), f)
	if err != nil {
		return nil, err
	}
	out := &Events{Events: all}
	if len(all) > limit {
		out.Events = all[1:]
		out.Before = out.Events[0].Event.Sequence
	}
	return out, nil
}

func journalParams() []string {
	return slices.Concat([]string{"before", "limit", "dataset"}, eventParams())
}

// remote is who is at the other end of a request.
func remote(r *http.Request) netip.AddrPort {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return at
}
