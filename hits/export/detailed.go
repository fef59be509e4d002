package export

import (
	"bytes"
	"encoding/json"

	"sinkhole/hits"
)

// who is the object sinkhole.who.
type who struct {
	Name       string `json:"name,omitempty"`
	Owner      string `json:"owner,omitempty"`
	Site       string `json:"site,omitempty"`
	Subscriber string `json:"subscriber,omitempty"`
	Shared     bool   `json:"shared,omitempty"`
	Sector     string `json:"sector,omitempty"`
}

// detailed is the record with what is known beside it in its line: client.as and client.geo,
// where ECS has it, and sinkhole.who.
func (o *Options) detailed(r *hits.Record) *hits.Record {
	if o.Details == nil {
		return r
	}
	d := o.Details(r)
	var client, own []byte
	if d.ASN != 0 {
		client = member(client, "as", map[string]any{"number": d.ASN, "organization": map[string]string{"name": d.Organization}})
	}
	if d.Country != "" {
		client = member(client, "geo", map[string]string{"country_iso_code": d.Country})
	}
	if w := (who{d.Name, d.Owner, d.Site, d.Subscriber, d.Shared, d.Sector}); w != (who{}) {
		own = member(own, "who", w)
	}
	raw := within(within(r.Raw, "client", client), "sinkhole", own)
	return &hits.Record{Raw: raw}
}

// member adds a member to those of an object, without its braces.
func member(all []byte, key string, value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		return all // of such values it does not fail
	}
	if len(all) > 0 {
		all = append(all, ',')
	}
	return append(append(append(append(all, '"'), key...), "\":"...), text...)
}

// within puts members into the object that a member of a line is. A line without such an
// object is left as it is.
func within(line []byte, key string, members []byte) []byte {
	if len(members) == 0 {
		return line
	}
	at := objectIn(line, key)
	if at < 0 {
		return line
	}
	if rest := bytes.TrimLeft(line[at:], " \t\r\n"); len(rest) > 0 && rest[0] != '}' {
		members = append(members, ',')
	}
	out := make([]byte, 0, len(line)+len(members))
	return append(append(append(out, line[:at]...), members...), line[at:]...)
}

// objectIn is where the members of an object begin that is a member of a line; -1 for none.
func objectIn(line []byte, key string) int {
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return -1
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return -1
		}
		if name == key {
			if t, err := d.Token(); err != nil || t != json.Delim('{') {
				return -1
			}
			return int(d.InputOffset())
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return -1
		}
	}
	return -1
}
