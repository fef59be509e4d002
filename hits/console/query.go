package console

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sinkhole/hits/inventory"
)

// query is what a request asks for. The first fault stays in err.
type query struct {
	values url.Values
	now    time.Time
	err    error
}

// newQuery refuses parameters that are not known, and values given twice.
func newQuery(r *http.Request, known []string) *query {
	q := &query{now: time.Now()}
	var err error
	if q.values, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		q.fail("the query cannot be read: %v", err)
	}
	for name, values := range q.values {
		switch {
		case !slices.Contains(known, name):
			q.fail("found the parameter %s, expected one of %q", quoted(name), known)
		case len(values) > 1:
			q.fail("%s: found %d values, expected one", name, len(values))
		}
	}
	return q
}

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = badRequest(fmt.Sprintf(format, args...))
	}
}

func (q *query) text(name string) string { return strings.TrimSpace(q.values.Get(name)) }

// word is one of some.
func (q *query) word(name, otherwise string, known ...string) string {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	if !slices.Contains(known, text) {
		q.fail("%s: found %s, expected one of %q", name, quoted(text), known)
	}
	return text
}

func (q *query) number(name string, otherwise, least, most int) int {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		q.fail("%s: found %s, expected from %d to %d", name, quoted(text), least, most)
		return otherwise
	}
	return n
}

func (q *query) flag(name string) bool { return q.word(name, "false", "true", "false") == "true" }

// prefix is an address or a prefix.
func (q *query) prefix(name string) (p netip.Prefix) {
	text := q.text(name)
	if text == "" {
		return p
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap().WithZone(""), addr.Unmap().BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		q.fail("%s: found %s, expected an address or a prefix such as 192.0.2.0/24", name, quoted(text))
	}
	return p.Masked()
}

// moment is a time, a date, or how long ago; all is the zero time.
func (q *query) moment(name, otherwise string) time.Time {
	text := q.text(name)
	if text == "" {
		text = otherwise
	}
	if text == "" || text == "all" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	if ago, ok := parseAgo(text); ok {
		return q.now.Add(-ago)
	}
	q.fail("%s: found %s, expected a time such as 2026-02-01T03:04:05Z, a date, or how long ago, such as 24h or 7d", name, quoted(text))
	return time.Time{}
}

func parseAgo(text string) (time.Duration, bool) {
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// defaultSince is how far back views go unless they are told.
const defaultSince = "24h"

func (q *query) span() (since, until time.Time) {
	since, until = q.moment("since", defaultSince), q.moment("until", "")
	if !until.IsZero() && !since.Before(until) {
		q.fail("since is %s and until %s, expected since to be earlier", since.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339))
	}
	return since, until
}

// filterParams are those of [query.filter].
func filterParams() []string {
	return []string{"since", "until", "client", "family", "list", "evidence"}
}

func (q *query) filter() (f inventory.Filter) {
	f.Since, f.Until = q.span()
	f.Client, f.Family, f.List = q.prefix("client"), q.text("family"), q.text("list")
	f.Evidence = q.word("evidence", "", inventory.Queried, inventory.Connected, inventory.Sent)
	return f
}

// Bounds of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxOffset    = 10_000_000
)

func pageParams() []string { return []string{"limit", "offset"} }

func (q *query) page() Page {
	return Page{Limit: q.number("limit", defaultLimit, 1, maxLimit), Offset: q.number("offset", 0, 0, maxOffset)}
}

// Page is a part of all that there is.
type Page struct {
	Total  int `json:"total"`
	Offset int `json:"offset"`
	Limit  int `json:"limit"`
}

// cut gives the part of all, and notes how many there are.
func cut[T any](p *Page, all []T) []T {
	p.Total = len(all)
	first := min(p.Offset, len(all))
	return append([]T{}, all[first:min(first+p.Limit, len(all))]...) // never nil
}
