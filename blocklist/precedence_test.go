package blocklist

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"sinkhole/blocklist/format"
)

// scenario is a policy and what it says about queries, as a responder would
// write them down. An entry is a trigger, then its action if it states one, then
// its family.
//
//	evil.example            the name and all below
//	=evil.example           the name alone
//	*.evil.example          all below, not the name
//	192.0.2.0/24            an address in an answer
//	client 192.0.2.1        the address of the client
type scenario struct {
	name  string
	lists []string // "NAME: entry; entry", or "allow NAME: ..." for an allow list
	asks  []ask
}

// ask is a query: "NAME [from CLIENT] [-> names and addresses of the answer]";
// "svcb:NAME" is a SVCB or HTTPS target.
type ask struct {
	query string
	want  string // the decision, the deciding action, and the rules as list:entry number
}

func TestPrecedence(t *testing.T) {
	for _, s := range []scenario{
		{
			name:  "what a subtree, an exact name and a wildcard cover",
			lists: []string{"feed: sub.example; =exact.example; *.wild.example"},
			asks: []ask{
				{"sub.example", "enforce sinkhole feed:1"},
				{"a.b.sub.example", "enforce sinkhole feed:1"},
				{"notsub.example", "none"},
				{"example", "none"},
				{"exact.example", "enforce sinkhole feed:2"},
				{"a.exact.example", "none"},
				{"a.wild.example", "enforce sinkhole feed:3"},
				{"a.b.wild.example", "enforce sinkhole feed:3"},
				{"wild.example", "none"},
				{".", "none"},
			},
		},
		{
			name:  "the root as subtree covers everything, as wildcard everything but itself",
			lists: []string{"every: . drop", "below: *. nxdomain"},
			asks: []ask{
				{".", "enforce drop every:1"},
				{"a.example", "enforce drop every:1 below:1"},
			},
		},
		{
			name:  "the more specific name wins within a list, whatever the order of lines",
			lists: []string{"feed: example nxdomain; evil.example nodata; www.evil.example drop"},
			asks: []ask{
				{"www.evil.example", "enforce drop feed:3 feed:2 feed:1"},
				{"a.www.evil.example", "enforce drop feed:3 feed:2 feed:1"},
				{"mail.evil.example", "enforce nodata feed:2 feed:1"},
				{"good.example", "enforce nxdomain feed:1"},
			},
		},
		{
			name:  "an exception more specific than a wildcard",
			lists: []string{"zone: *.evil.example nxdomain; =good.evil.example passthru"},
			asks: []ask{
				{"good.evil.example", "allow passthru by zone:2"},
				{"bad.evil.example", "enforce nxdomain zone:1"},
			},
		},
		{
			name:  "the exact entry beats the subtree of the same name",
			lists: []string{"feed: evil.example nxdomain; =evil.example nodata"},
			asks: []ask{
				{"evil.example", "enforce nodata feed:2 feed:1"},
				{"a.evil.example", "enforce nxdomain feed:1"},
			},
		},
		{
			name:  "an earlier list wins over a more specific name of a later one",
			lists: []string{"first: example nxdomain", "second: www.evil.example drop"},
			asks:  []ask{{"www.evil.example", "enforce nxdomain first:1 second:1"}},
		},
		{
			name:  "allow wins although it is less specific and configured last",
			lists: []string{"feed: www.evil.example drop; 192.0.2.1 drop; client 198.51.100.1 drop", "allow own: example; =free.test"},
			asks: []ask{
				{"www.evil.example", "allow passthru own:1 by own:1"},
				{"www.evil.example from 198.51.100.1", "allow passthru own:1 by own:1"},
				{"free.test -> 192.0.2.1", "allow passthru own:2 by own:2"},
				{"a.free.test -> 192.0.2.1", "enforce drop feed:2"},
			},
		},
		{
			name:  "allow in the answer wins over every match in the answer",
			lists: []string{"feed: evil.example; 192.0.2.0/24", "allow own: cdn.test; 192.0.2.7"},
			asks: []ask{
				{"a.test -> evil.example cdn.test 192.0.2.1", "allow passthru own:1 by own:1"},
				{"a.test -> evil.example 192.0.2.7", "allow passthru own:2 by own:2"},
				{"evil.example -> cdn.test", "enforce sinkhole feed:1"},
				{"a.test -> 192.0.2.1", "enforce sinkhole feed:2"},
			},
		},
		{
			name:  "log never ends the evaluation: a later list decides",
			lists: []string{"trial: evil.example log", "feed: evil.example drop"},
			asks:  []ask{{"evil.example", "enforce drop feed:1 trial:1"}},
		},
		{
			name:  "log never ends the evaluation: a less specific entry of the list decides",
			lists: []string{"feed: www.evil.example log; evil.example drop"},
			asks: []ask{
				{"www.evil.example", "enforce drop feed:2 feed:1"},
				{"a.www.evil.example", "enforce drop feed:2 feed:1"},
			},
		},
		{
			name:  "log never ends the evaluation: the answer decides",
			lists: []string{"trial: evil.example log; 192.0.2.0/24 log", "feed: 192.0.2.1 drop"},
			asks: []ask{
				{"evil.example", "observe trial:1"},
				{"evil.example -> 198.51.100.1", "observe trial:1"},
				{"evil.example -> 192.0.2.1", "enforce drop feed:1 trial:1 trial:2"},
				{"evil.example -> 192.0.2.2", "observe trial:1 trial:2"},
				{"good.example -> 192.0.2.2", "observe trial:2"},
			},
		},
		{
			name:  "passthru keeps what lists before it observed",
			lists: []string{"before: evil.example log", "zone: evil.example passthru", "after: evil.example log; sub.evil.example drop"},
			asks: []ask{
				{"evil.example", "allow passthru before:1 by zone:1"},
				{"sub.evil.example", "allow passthru before:1 by zone:1"},
			},
		},
		{
			name:  "allow in the answer silences what the question observed",
			lists: []string{"trial: evil.example log", "allow own: 192.0.2.1"},
			asks:  []ask{{"evil.example -> 192.0.2.1", "allow passthru own:1 by own:1"}},
		},
		{
			name:  "passthru exempts only from the lists after it",
			lists: []string{"first: evil.example drop", "zone: www.evil.example passthru", "last: evil.example nxdomain"},
			asks:  []ask{{"www.evil.example", "enforce drop first:1 last:1"}},
		},
		{
			name:  "passthru in the question exempts the answer",
			lists: []string{"zone: evil.example passthru", "feed: 192.0.2.1 drop"},
			asks:  []ask{{"evil.example -> 192.0.2.1", "allow passthru by zone:1"}},
		},
		{
			name:  "one indicator in several families is one rule each",
			lists: []string{"feed: evil.example sinkhole Lumma; evil.example sinkhole Vidar; evil.example sinkhole Lumma"},
			asks:  []ask{{"evil.example", "enforce sinkhole feed:1 feed:2"}},
		},
		{
			name:  "the longest prefix wins, then the smaller address",
			lists: []string{"feed: 192.0.2.0/24 drop; 192.0.2.8/30 nodata; 192.0.2.9 nxdomain; 192.0.2.7 refused; 0.0.0.0/0 log"},
			asks: []ask{
				{"a.test -> 192.0.2.9", "enforce nxdomain feed:3 feed:2 feed:1 feed:5"},
				{"a.test -> 192.0.2.10", "enforce nodata feed:2 feed:1 feed:5"},
				{"a.test -> 192.0.2.200", "enforce drop feed:1 feed:5"},
				{"a.test -> 192.0.2.9 192.0.2.7", "enforce refused feed:4 feed:3 feed:2 feed:1 feed:5"},
				{"a.test -> 198.51.100.1", "observe feed:5"},
			},
		},
		{
			name:  "IPv6, and IPv4 mapped into it",
			lists: []string{"feed: 2001:db8::/32; 2001:db8::1 drop; 192.0.2.1 nodata; ::/0 log"},
			asks: []ask{
				{"a.test -> 2001:db8::1", "enforce drop feed:2 feed:1 feed:4"},
				{"a.test -> 2001:db8::2", "enforce sinkhole feed:1 feed:4"},
				{"a.test -> ::ffff:192.0.2.1", "enforce nodata feed:3"},
				{"a.test -> 2001:db9::", "observe feed:4"},
			},
		},
		{
			name:  "the client's address comes before the name within a list, the list before both",
			lists: []string{"first: client 192.0.2.0/24 refused; evil.example drop", "second: client 198.51.100.1 nxdomain"},
			asks: []ask{
				{"evil.example from 192.0.2.1", "enforce refused first:1 first:2"},
				{"good.test from 192.0.2.1", "enforce refused first:1"},
				{"good.test from ::ffff:192.0.2.1", "enforce refused first:1"},
				{"evil.example from 198.51.100.1", "enforce drop first:2 second:1"},
				{"good.test from 203.0.113.1", "none"},
				{"good.test -> 192.0.2.1", "none"},
			},
		},
		{
			name:  "in the answer: the list, then the place in the chain, then the more specific name; names before addresses",
			lists: []string{"first: 192.0.2.1 nodata; b.example refused", "second: a.example nxdomain; x.b.example drop; svc.test drop"},
			asks: []ask{
				{"q.test -> a.example b.example 192.0.2.1", "enforce refused first:2 first:1 second:1"},
				{"q.test -> a.example x.b.example", "enforce refused first:2 second:1 second:2"},
				{"q.test -> a.example", "enforce nxdomain second:1"},
				{"q.test -> svcb:svc.test 192.0.2.1", "enforce nodata first:1 second:3"},
				{"q.test -> a.example svcb:svc.test", "enforce nxdomain second:1 second:3"},
			},
		},
		{
			name:  "a rule that matches at several places of the answer is named once",
			lists: []string{"feed: evil.example; 192.0.2.0/24"},
			asks:  []ask{{"q.test -> a.evil.example b.evil.example 192.0.2.1 192.0.2.2", "enforce sinkhole feed:1 feed:2"}},
		},
		{
			name:  "an expired entry matches nothing, one that expires later does",
			lists: []string{"feed: old.example expired; new.example expires"},
			asks: []ask{
				{"old.example", "none"},
				{"new.example", "enforce sinkhole feed:2"},
			},
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			p := s.compile(t)
			for _, a := range s.asks {
				if got := a.judge(t, p); got != a.want {
					t.Errorf("%s:\n got %s\nwant %s", a.query, got, a.want)
				}
			}
		})
	}
}

const scenarioNow = 1000

func (s *scenario) compile(t *testing.T) *Policy {
	t.Helper()
	l := &Lists{content: map[string]*content{}}
	var specs []Spec
	next := map[string]*content{}
	for _, text := range s.lists {
		text, allow := strings.CutPrefix(text, "allow ")
		name, entries, _ := strings.Cut(text, ": ")
		list := modelList{spec: Spec{Name: name, Allow: allow}}
		for i, text := range strings.Split(entries, "; ") {
			e := parseEntry(t, text)
			e.Line = i + 1
			list.entries = append(list.entries, e)
		}
		specs = append(specs, list.spec)
		next[name] = contentOf(&list.spec, list.reading(t, 0))
	}
	l.Specs = allowFirst(specs)
	if err := l.put(next); err != nil {
		t.Fatal(err)
	}
	return l.Policy()
}

func parseEntry(t *testing.T, text string) (e modelEntry) {
	t.Helper()
	e.Confidence = -1
	text, client := strings.CutPrefix(text, "client ")
	words := strings.Fields(text)
	trigger := words[0]
	if prefix, err := parsePrefix(trigger); err == nil {
		e.Trigger, e.Prefix = format.ResponseIP, prefix
		if client {
			e.Trigger = format.ClientIP
		}
	} else {
		switch trigger[0] {
		case '=':
			e.name, e.Scope = trigger[1:], format.Exact
		case '*':
			e.name, e.Scope = trigger[2:], format.Below
		default:
			e.name, e.Scope = trigger, format.Subtree
		}
		e.name = strings.TrimSuffix(e.name, ".")
	}
	for i, word := range words[1:] {
		switch {
		case word == "expired":
			e.Expires = timeOf(scenarioNow)
		case word == "expires":
			e.Expires = timeOf(scenarioNow + 1)
		case i == 1:
			e.Family = word
		default:
			action, err := format.ParseAction(word)
			if err != nil {
				t.Fatal(err)
			}
			e.Action = action
		}
	}
	return e
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func (a *ask) judge(t *testing.T, p *Policy) string {
	t.Helper()
	question, answer, answered := strings.Cut(a.query, " -> ")
	qname, from, _ := strings.Cut(question, " from ")
	var client netip.Addr
	if from != "" {
		client = netip.MustParseAddr(from)
	}
	var v Verdict
	p.JudgeQuestion(client, wireName(qname), scenarioNow, &v)
	if answered {
		var names, kinds []byte
		var addrs []netip.Addr
		for _, word := range strings.Fields(answer) {
			if addr, err := netip.ParseAddr(word); err == nil {
				addrs = append(addrs, addr)
				continue
			}
			name, service := strings.CutPrefix(word, "svcb:")
			kind := byte(0)
			if service {
				kind = 1
			}
			names, kinds = append(names, wireName(name)...), append(kinds, kind)
		}
		p.JudgeAnswer(names, kinds, addrs, scenarioNow, &v)
	}
	return verdictText(p, &v)
}

func verdictText(p *Policy, v *Verdict) string {
	words := []string{[...]string{None: "none", Observe: "observe", Allow: "allow", Enforce: "enforce"}[v.Decision]}
	if v.Decision == Allow || v.Decision == Enforce {
		words = append(words, v.Action.String())
	}
	words = append(words, rulesOf(p, v)...)
	if v.Decision == Allow {
		words = append(words, "by", ruleText(p, v.Exempt))
	}
	if v.More > 0 {
		words = append(words, fmt.Sprintf("and %d more", v.More))
	}
	return strings.Join(words, " ")
}
