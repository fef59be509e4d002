package export

import (
	"encoding/json"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"sinkhole/hits"
)

// stix writes one bundle of STIX 2.1: for each line of the journal a sighting of its
// indicator, with the observed data; what several have in common stands once.
type stix struct {
	w    io.Writer
	opts Options
	buf  []byte
	told map[string]bool // ids of objects that are written already
	err  error           // of an object that could not be rendered
}

func newSTIX(w io.Writer, o Options) *stix {
	return &stix{w: w, opts: o, told: map[string]bool{}}
}

// Namespaces of ids: that of the standard for observables (section 2.9), and our own, since
// the other objects must not use that one.
const (
	stixObservables = "00abedb4-aa42-466c-9c01-fed23315a9b7"
	stixObjects     = "7d5a3a1e-8c0b-5f0e-9a53-6c1f0d2b4e77"
)

// stixUndated is for what is not dated: an object with one id must always have the same dates.
const stixUndated = "1970-01-01T00:00:00.000Z"

const stixLongestCount = 999_999_999

func formatSTIX(t time.Time) string {
	if t.IsZero() {
		return stixUndated
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// object is one of STIX, or a part of one.
type object map[string]any

// observable completes an object that is known by the properties named (section 2.9).
func observable(kind string, o object, by ...string) object {
	decides := object{}
	for _, key := range by {
		if v, ok := o[key]; ok {
			decides[key] = v
		}
	}
	o["type"], o["spec_version"] = kind, "2.1"
	o["id"] = kind + "--" + stixID(stixObservables, decides)
	return o
}

// known completes an object whose id follows from all that it says: what says something else
// is another object, and not another version of it without a date.
func known(kind string, o object, created time.Time) object {
	o["type"], o["spec_version"] = kind, "2.1"
	o["created"], o["modified"] = formatSTIX(created), formatSTIX(created)
	o["id"] = kind + "--" + stixID(stixObjects, o)
	return o
}

// stixID is a UUIDv5 of JSON with sorted keys (RFC 8785, as far as these values need it).
func stixID(namespace string, o object) string {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(o); err != nil {
		return uuid.Nil.String()
	}
	return uuid.NewSHA1(uuid.MustParse(namespace), []byte(strings.TrimSuffix(text.String(), "\n"))).String()
}

// add writes an object that is not written yet, and gives its id.
func (s *stix) add(o object) string {
	id, _ := o["id"].(string)
	if s.told[id] {
		return id
	}
	s.told[id] = true
	if len(s.told) > 1 {
		s.buf = append(s.buf, ",\n"...)
	} else {
		s.buf = append(s.buf, bundle()+`,"objects":[`+"\n"...)
	}
	var err error
	if s.buf, err = appendObject(s.buf, o); err != nil {
		s.err = err
	}
	return id
}

func (s *stix) Write(r *hits.Record) error {
	s.buf = s.buf[:0]
	if r.Event.Dataset == hits.DatasetHit && !r.Sinkhole.Expected && r.Threat.Indicator.Name != "" && r.Client.IP.IsValid() {
		s.sighting(r)
	}
	return s.flush()
}

// bundle is the beginning of one. Its id is random: no two bundles are the same.
func bundle() string { return `{"type":"bundle","id":"bundle--` + uuid.NewString() + `"` }

func (s *stix) flush() error {
	if s.err != nil || len(s.buf) == 0 {
		return s.err
	}
	_, err := s.w.Write(s.buf)
	return err
}

// Close ends the bundle. One without an object leaves its objects out, since an empty list
// is none (section 2.10).
func (s *stix) Close() error {
	if len(s.told) == 0 {
		s.buf = append(s.buf[:0], bundle()+"}\n"...)
	} else {
		s.buf = append(s.buf[:0], "\n]}\n"...)
	}
	return s.flush()
}

func (s *stix) sighting(r *hits.Record) {
	seen, last, n := formatSTIX(r.Time), formatSTIX(r.End()), min(max(1, r.Sinkhole.Count), stixLongestCount)
	where := s.add(known("identity", object{"name": orUnnamed(r.Observer.Name), "identity_class": "system", "roles": []string{"dns-sinkhole"}}, time.Time{}))
	marks := tlpMarks(r.Threat.Indicator.Marking.TLP)
	indicator := s.indicator(r, where, marks)
	observed := known("observed-data", marked(object{
		"created_by_ref": where, "first_observed": seen, "last_observed": last, "number_observed": n, "object_refs": s.observables(r),
		"external_references": []object{{"source_name": "sinkhole", "external_id": r.Event.ID, "description": "event.id in the hit journal"}},
	}, marks), r.Time)
	s.add(observed)
	s.add(known("sighting", marked(object{
		"created_by_ref": where, "first_seen": seen, "last_seen": last, "count": n, "sighting_of_ref": indicator,
		"observed_data_refs": []any{observed["id"]}, "where_sighted_refs": []string{where},
	}, marks), r.Time))
}

// indicator adds the deciding indicator, and the families that the hit speaks for.
func (s *stix) indicator(r *hits.Record, by string, marks []string) (id string) {
	i := &r.Threat.Indicator
	o := object{
		"created_by_ref": by, "name": i.Name, "pattern": stixPattern(i.Type, i.Name, r.Sinkhole.Scope), "pattern_type": "stix",
		"valid_from": formatSTIX(i.FirstSeen), "indicator_types": []string{"malicious-activity"},
	}
	if r.Sinkhole.Confidence != nil {
		o["confidence"] = min(max(0, *r.Sinkhole.Confidence), 100)
	}
	if x := r.Sinkhole.Expires; x.After(i.FirstSeen) {
		o["valid_until"] = formatSTIX(x)
	}
	if list := r.Threat.Feed.Name; list != "" {
		reference := object{"source_name": list}
		if u, err := url.Parse(i.Reference); err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
			reference["url"] = u.String()
		} else if i.Reference != "" {
			reference["description"] = i.Reference
		} else {
			reference["description"] = "list of the sinkhole"
		}
		o["external_references"] = []object{reference}
	}
	id = s.add(known("indicator", marked(o, marks), i.FirstSeen))
	if family := r.Threat.Software.Name; family != "" {
		malware := s.add(known("malware", object{"name": family, "is_family": true, "malware_types": []string{"unknown"}}, time.Time{}))
		s.add(known("relationship", marked(object{"created_by_ref": by, "relationship_type": "indicates", "source_ref": id, "target_ref": malware}, marks), time.Time{}))
	}
	return id
}

// observables adds who asked whom for what.
func (s *stix) observables(r *hits.Record) (refs []string) {
	client := s.client(r)
	protocols := []string{"ipv4"}
	if r.Client.IP.Is6() {
		protocols[0] = "ipv6"
	}
	traffic := object{"src_ref": client, "start": formatSTIX(r.Time), "end": formatSTIX(r.End())}
	if r.Network.Transport != "" {
		protocols = append(protocols, r.Network.Transport)
	}
	traffic["protocols"] = append(protocols, "dns")
	if r.Client.Port != 0 {
		traffic["src_port"] = r.Client.Port
	}
	refs = append(refs, client)
	if r.Server.IP.IsValid() {
		traffic["dst_ref"] = s.address(r.Server.IP)
		traffic["dst_port"] = r.Server.Port
		refs = append(refs, s.address(r.Server.IP))
	}
	refs = append(refs, s.add(observable("network-traffic", traffic, "start", "end", "src_ref", "dst_ref", "src_port", "dst_port", "protocols")))
	if name := r.DNS.Question.Name; isHost(name) {
		refs = append(refs, s.add(observable("domain-name", object{"value": name}, "value")))
	}
	return refs
}

// client adds the address of who asked, with its autonomous system.
func (s *stix) client(r *hits.Record) string {
	d := s.opts.details(r)
	if d.ASN == 0 {
		return s.address(r.Client.IP)
	}
	system := object{"number": d.ASN}
	if d.Organization != "" {
		system["name"] = d.Organization
	}
	in := s.add(observable("autonomous-system", system, "number"))
	return s.add(observable(addressKind(r.Client.IP), object{"value": r.Client.IP.String(), "belongs_to_refs": []string{in}}, "value"))
}

func (s *stix) address(a netip.Addr) string {
	kind := "ipv4-addr"
	if a.Is6() {
		kind = "ipv6-addr"
	}
	return s.add(observable(kind, object{"value": a.String()}, "value"))
}

// stixPattern matches what the indicator does.
func stixPattern(kind, name, scope string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name)
	if p, err := netip.ParsePrefix(name); err == nil {
		return "[" + addressKind(p.Addr()) + ":value ISSUBSET '" + p.String() + "']"
	}
	if a, err := netip.ParseAddr(name); err == nil && kind != "domain-name" {
		return "[" + addressKind(a) + ":value = '" + a.String() + "']"
	}
	switch scope { // LIKE has no way to write a "_" that stands for itself alone
	case "subtree":
		return "[domain-name:value = '" + quoted + "' OR domain-name:value LIKE '%." + quoted + "']"
	case "below":
		return "[domain-name:value LIKE '%." + quoted + "']"
	}
	return "[domain-name:value = '" + quoted + "']"
}

func addressKind(a netip.Addr) string {
	if a.Is6() {
		return "ipv6-addr"
	}
	return "ipv4-addr"
}

// tlpMarks are the marking definitions of the standard (section 7.2.1.4), which has TLP 1.0
// only: never one that allows more than the list does.
func tlpMarks(tlp string) []string {
	id := ""
	switch strings.ToUpper(strings.TrimPrefix(strings.ToUpper(tlp), "TLP:")) {
	case "WHITE", "CLEAR":
		id = "613f2e26-407d-48c7-9eca-b8e91df99dc9"
	case "GREEN":
		id = "34098fce-860f-48ae-8e50-ebd3cc5e41da"
	case "AMBER":
		id = "f88d31f6-486f-44da-b317-01333bde0b82"
	case "RED", "AMBER+STRICT":
		id = "5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
	default:
		return nil
	}
	return []string{"marking-definition--" + id}
}

func marked(o object, marks []string) object {
	if marks != nil {
		o["object_marking_refs"] = marks
	}
	return o
}

func orUnnamed(name string) string {
	if name == "" {
		return "sinkhole"
	}
	return name
}

// isHost tells whether a name can be written as STIX wants a domain name: letters, digits,
// hyphens and underscores.
func isHost(name string) bool {
	return name != "" && name != "." && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
}
