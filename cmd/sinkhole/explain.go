package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/configs"
	"sinkhole/resolver"
)

func newExplain(file *string) *cobra.Command {
	var qtype, client string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain NAME|IP",
		Short: "Say what a query would get, and every indicator behind it",
		Long: "Says what a query for a name would get, or an answer with an address, and shows every\n" +
			"indicator behind the verdict, and what the guard keeps out of lists about it. Reads the configured\n" +
			"lists itself, those that come over the network from the server's copies; no server need run.\n" +
			"The exit code is 3 when listed, 0 when not.",
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := load(*file)
			if err != nil {
				return err
			}
			q, err := newQuestion(args[0], qtype, client)
			if err != nil {
				return usageError(err)
			}
			return explain(c, q, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&qtype, "type", "", "query type (default A, for an IPv6 address AAAA)")
	cmd.Flags().StringVar(&client, "client", "", "address of the client that asks, for groups and rpz-client-ip triggers")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// explanation is what --json prints.
type explanation struct {
	Query      string               `json:"query"`
	Type       string               `json:"type,omitempty"`
	Client     string               `json:"client,omitempty"`
	Listed     bool                 `json:"listed"`
	Verdict    string               `json:"verdict"` // none, allow, observe, or the action
	Answer     string               `json:"answer"`
	Trigger    string               `json:"trigger,omitempty"`
	Group      string               `json:"group,omitempty"` // of the client
	Mode       string               `json:"mode,omitempty"`  // of the group
	Indicators []explainedIndicator `json:"indicators"`      // the deciding one first
	KeptOut    []keptOut            `json:"kept_out,omitempty"`
}

// keptOut is an entry about what was asked that the guard keeps out of a list.
type keptOut struct {
	Entry   string `json:"entry"`
	Outcome string `json:"outcome"` // refused or held
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
	List    string `json:"list"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

type explainedIndicator struct {
	Indicator  string `json:"indicator"`
	Trigger    string `json:"trigger"`
	Scope      string `json:"scope,omitempty"`
	Action     string `json:"action"`
	List       string `json:"list"`
	Version    string `json:"version"`
	File       string `json:"file"`
	Line       int    `json:"line"`
	Family     string `json:"family,omitempty"`
	Confidence *int   `json:"confidence,omitempty"`
	Reference  string `json:"reference,omitempty"`
	TLP        string `json:"tlp,omitempty"`
	FirstSeen  string `json:"first_seen,omitempty"`
	LastSeen   string `json:"last_seen,omitempty"`
	Expires    string `json:"expires,omitempty"`
}

func explain(c *configs.Config, q question, asJSON bool, out, messages io.Writer) error {
	lists, err := readLists(c)
	if err != nil {
		return err
	}
	lists.tell(messages)
	x := judge(lists.Policy(), c, q)
	x.KeptOut = keptOutOf(lists.Status(), q)
	if asJSON {
		err = printJSON(out, x)
	} else {
		err = x.print(out)
	}
	if err == nil && x.Listed {
		return &exitError{code: exitListed}
	}
	return err
}

func judge(p *blocklist.Policy, c *configs.Config, q question) explanation {
	var v blocklist.Verdict
	now := time.Now().Unix()
	x := explanation{Query: q.text, Indicators: []explainedIndicator{}}
	if q.client.IsValid() {
		x.Client = q.client.String()
	}
	if q.name != nil {
		x.Type = dns.Type(q.qtype).String()
		p.JudgeQuestion(q.client, q.name, now, &v)
	} else {
		p.JudgeQuestion(q.client, []byte{0}, now, &v)
		p.JudgeAnswer(nil, nil, resolver.NewNAT64(c.Upstream.NAT64).WithEmbedded([]netip.Addr{q.addr}), now, &v)
		if v.Decision == blocklist.None && !q.client.IsValid() { // perhaps a client that a list names
			var asClient blocklist.Verdict
			if p.JudgeQuestion(q.addr, []byte{0}, now, &asClient); asClient.Decision != blocklist.None {
				v = asClient
			}
		}
	}
	x.describe(p, c, &v, q.qtype)
	rules := v.Rules[:v.N]
	if v.Decision == blocklist.Allow && !slices.Contains(rules, v.Exempt) {
		rules = append([]uint64{v.Exempt}, rules...)
		x.Trigger = triggerWord(v.Match)
	}
	for _, rule := range rules {
		x.Indicators = append(x.Indicators, explained(p.Indicator(rule)))
	}
	return x
}

// describe says what the verdict is, and what the client gets.
func (x *explanation) describe(p *blocklist.Policy, c *configs.Config, v *blocklist.Verdict, qtype uint16) {
	if x.Group = p.GroupName(v); x.Group != "" {
		i := slices.IndexFunc(c.Groups, func(g configs.Group) bool { return g.Name == x.Group })
		x.Mode = string(c.Groups[i].Mode)
	}
	x.Verdict, x.Answer = "none", "the upstream's answer; its names and addresses are judged too"
	if x.Mode == string(configs.ModeOff) {
		x.Answer = "the upstream's answer, not judged"
	}
	switch v.Decision {
	case blocklist.Allow:
		x.Verdict, x.Answer = "allow", "the upstream's answer, not judged"
	case blocklist.Observe:
		x.Verdict, x.Answer = "observe", "the upstream's answer; the query is recorded as a hit"
	case blocklist.Enforce:
		x.Verdict, x.Answer = v.Action.String(), answerText(c, p, v, qtype)
	}
	x.Listed = v.Decision == blocklist.Enforce || v.Observed(p)
	if v.N > 0 {
		x.Trigger = triggerWord(v.Match)
	}
}

// keptOutOf finds what the guard keeps out of the lists about what was asked:
// entries that are it, or stand above it.
func keptOutOf(lists []blocklist.Status, q question) (all []keptOut) {
	for i := range lists {
		l := &lists[i]
		for _, kind := range []struct {
			outcome string
			faults  []blocklist.Fault
		}{{"refused", l.GuardRefused}, {"held", l.GuardHeld}} {
			for _, f := range kind.faults {
				if q.isAbout(f.Text) {
					all = append(all, keptOut{f.Text, kind.outcome, f.Kind, f.Reason, l.Name, f.File, f.Line})
				}
			}
		}
	}
	return all
}

// answerText says what a client gets in words.
func answerText(c *configs.Config, p *blocklist.Policy, v *blocklist.Verdict, qtype uint16) string {
	switch v.Action {
	case format.NXDomain:
		return "NXDOMAIN"
	case format.NoData:
		return "NODATA"
	case format.Refused:
		return "REFUSED"
	case format.Drop:
		return "no answer"
	case format.TCPOnly:
		return "over UDP a truncated answer, over TCP the upstream's"
	case format.LocalData:
		return "the list's own records"
	}
	own, list := c.Sinkhole.IPv4, p.ListOf(v.Rule()).IPv4
	switch qtype {
	case dns.TypeA:
	case dns.TypeAAAA:
		own, list = c.Sinkhole.IPv6, p.ListOf(v.Rule()).IPv6
	case dns.TypeANY:
		return "HINFO RFC8482"
	default:
		return "NODATA"
	}
	address := sink(own)
	if list.Mode != blocklist.SinkInherit {
		address = list
	}
	switch address.Mode {
	case blocklist.SinkAddress:
		return dns.Type(qtype).String() + " " + address.Addr.String()
	case blocklist.SinkPrefix:
		return dns.Type(qtype).String() + " with an address of its own from " + address.Prefix.String()
	case blocklist.SinkAuto:
		return dns.Type(qtype).String() + " with the address that was asked"
	}
	return "NODATA (no sinkhole address of that family)"
}

func triggerWord(m blocklist.MatchKind) string {
	switch m {
	case blocklist.MatchClientIP:
		return "client-ip"
	case blocklist.MatchResponseIP:
		return "response-ip"
	}
	return "qname"
}

func explained(i blocklist.Indicator) explainedIndicator {
	e := explainedIndicator{
		Indicator: i.Value(), Action: i.Action.String(), List: i.List, Version: i.Version, File: i.File, Line: i.Line,
		Family: i.Family, Reference: i.Reference, TLP: i.TLP,
		FirstSeen: dateText(i.FirstSeen), LastSeen: dateText(i.LastSeen), Expires: dateText(i.Expires),
	}
	if i.Allow {
		e.Action = "allow"
	}
	if i.Confidence >= 0 {
		e.Confidence = &i.Confidence
	}
	switch i.Trigger {
	case format.ResponseIP:
		e.Trigger = "response-ip"
	case format.ClientIP:
		e.Trigger = "client-ip"
	default:
		e.Trigger = "qname"
		e.Scope = [...]string{format.Exact: "exact", format.Subtree: "subtree", format.Below: "below"}[i.Scope]
	}
	return e
}

func dateText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (x *explanation) print(out io.Writer) error {
	listed := "not listed"
	if x.Listed {
		listed = "listed"
	} else if x.Verdict == "allow" {
		listed = "allowed"
	}
	say(out, "%s: %s\n", x.Query, listed)
	say(out, "  verdict: %s\n  answer:  %s\n", x.Verdict, x.Answer)
	if x.Group != "" {
		say(out, "  group:   %s (%s)\n", x.Group, x.Mode)
	}
	if len(x.Indicators) > 0 {
		fmt.Fprintln(out)
		if err := x.printIndicators(out); err != nil {
			return err
		}
	}
	for i, k := range x.KeptOut {
		if i == 0 {
			fmt.Fprintln(out)
		}
		at := placeText(&blocklist.Fault{File: k.File, Fault: format.Fault{Line: k.Line}})
		say(out, "%s by the guard, so not in force: %s: %s: %s: %s\n", k.Outcome, at, k.Kind, k.Entry, k.Reason)
	}
	return nil
}

func (x *explanation) printIndicators(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "INDICATOR\tTRIGGER\tACTION\tLIST\tLINE\tFAMILY\tCONFIDENCE\tREFERENCE")
	for _, i := range x.Indicators {
		trigger := i.Trigger
		if i.Scope != "" {
			trigger += " " + i.Scope
		}
		confidence := "-"
		if i.Confidence != nil {
			confidence = fmt.Sprint(*i.Confidence)
		}
		line := "-" // an entry of a zone that was transferred has none
		if i.Line > 0 {
			line = fmt.Sprint(i.Line)
		}
		say(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Indicator, trigger, i.Action, i.List, line, orDash(i.Family), confidence, orDash(i.Reference))
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
