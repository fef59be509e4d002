package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"sinkhole/blocklist/format"
	"sinkhole/resolver/cache"
	"sinkhole/resolver/wire"
)

// flushAnswer is what a flush did.
type flushAnswer struct {
	Flushed int `json:"flushed"` // answers and failures
}

// flush drops what the cache has of a name, with below also of all names below it;
// without a name everything. What was dropped does not come back: not by a reply that
// is under way, and not by a restart.
func (s *server) flush(name []byte, below bool) (entries int, err error) {
	if name == nil {
		entries = s.cache.Flush()
	} else {
		entries = s.cache.FlushName(name, below)
	}
	if err := s.answers.forget(); err != nil {
		return entries, fmt.Errorf("the cache is flushed, but cache.file still has the answers, and a restart would bring them back: %w", err)
	}
	return entries, nil
}

func (s *server) answerFlush(r *http.Request) (any, error) {
	query := r.URL.Query()
	var name []byte
	if text := query.Get("name"); !query.Has("all") {
		var err error
		if name, err = format.Name(nil, text); err != nil || text == "" {
			return nil, fmt.Errorf("found %q, expected a domain name", text)
		}
	} else if query.Has("name") {
		return nil, errors.New("found a name and all, expected one of them")
	}
	entries, err := s.flush(name, query.Has("subtree"))
	s.log.Info("cache flushed", zap.String("user", r.RemoteAddr), zap.String("name", query.Get("name")), zap.Bool("subtree", query.Has("subtree")),
		zap.Bool("all", query.Has("all")), zap.Int("entries", entries), zap.Error(err))
	return flushAnswer{Flushed: entries}, err
}

// cachedAnswer is what the cache has of one question.
type cachedAnswer struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	DO      bool     `json:"do"`
	CD      bool     `json:"cd"`
	RCode   string   `json:"rcode,omitempty"`
	Age     int64    `json:"age"`               // seconds
	Left    int64    `json:"left"`              // seconds until it expires; below 0: since it has
	Failure string   `json:"failure,omitempty"` // why nobody is asked until then
	Denies  bool     `json:"denies,omitempty"`  // it says that the name asked about does not exist: this one, or one below it
	Records []string `json:"records,omitempty"`
}

// answerCached shows what the cache has of a name.
func (s *server) answerCached(r *http.Request) (any, error) {
	query := r.URL.Query()
	name, err := format.Name(nil, query.Get("name"))
	if err != nil || query.Get("name") == "" {
		return nil, fmt.Errorf("found %q, expected a domain name", query.Get("name"))
	}
	var only uint16
	if text := query.Get("type"); text != "" {
		if only, err = typeNamed(text); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	all := []cachedAnswer{}
	for _, e := range s.cache.Entries(name) {
		if _, qtype, _, _, _, _ := e.Question(); only == 0 || only == qtype {
			all = append(all, viewOf(e, now))
		}
	}
	slices.SortFunc(all, func(a, b cachedAnswer) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(b.Left, a.Left))
	})
	if e := s.denies(name, now); len(all) == 0 && e != nil {
		view := viewOf(e, now)
		view.Denies = true
		all = append(all, view)
	}
	return all, nil
}

// denies is an answer that says that a name does not exist, since one above it does
// not.
func (s *server) denies(name []byte, now time.Time) *cache.Entry {
	if !s.started.Cache.NXDomainCut {
		return nil
	}
	for _, flags := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} { // DO, CD
		if e := s.cache.Denied(cache.AppendKey(nil, name, dns.TypeA, dns.ClassINET, flags[0], flags[1]), now.UnixNano()); e != nil {
			return e
		}
	}
	return nil
}

func viewOf(e *cache.Entry, now time.Time) cachedAnswer {
	name, qtype, _, do, cd, failure := e.Question()
	age := max(now.UnixNano()-e.Stored, 0) / int64(time.Second)
	v := cachedAnswer{
		Name: format.Text(name), Type: dns.Type(qtype).String(), DO: do, CD: cd,
		Age: age, Left: floorSeconds(e.Expires - now.UnixNano()),
	}
	if failure {
		v.Failure = cmp.Or(dns.ExtendedErrorCodeToString[e.EDE], "the upstream answered SERVFAIL")
		return v
	}
	v.RCode = dns.RcodeToString[int(e.RCode)]
	aged := slices.Clone(e.Packed)
	wire.Age(aged, e.TTLs, uint32(age), 0)
	var m dns.Msg
	if err := m.Unpack(aged); err != nil {
		v.Records = []string{"(cannot be shown: " + err.Error() + ")"}
		return v
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		v.Records = append(v.Records, rr.String())
	}
	return v
}

// floorSeconds rounds down, also below 0: what ended a moment ago has not some time left.
func floorSeconds(ns int64) int64 {
	s := ns / int64(time.Second)
	if ns < 0 {
		s--
	}
	return s
}
