package export

import (
	"io"
	"strconv"
	"strings"

	"sinkhole/hits"
)

// csvColumn is a column of a CSV export: its name and what a record has in it.
type csvColumn struct {
	name string
	cell func(*hits.Record) string
}

// csvColumns are the columns of a CSV export in order. Scripts depend on them:
// new ones go to the end.
func csvColumns() []csvColumn {
	return []csvColumn{
		{"time", func(r *hits.Record) string { return formatTime(r.Time) }},
		{"last_time", func(r *hits.Record) string { return formatTime(r.End()) }},
		{"client_ip", func(r *hits.Record) string { return formatAddr(r.Client.IP) }},
		{"client_port", func(r *hits.Record) string { return number(uint64(r.Client.Port)) }},
		{"ports", func(r *hits.Record) string { return ports(r.Sinkhole.Ports) }},
		{"ports_truncated", func(r *hits.Record) string { return truth(r, r.Sinkhole.PortsTruncated) }},
		{"source_proven", func(r *hits.Record) string { return truth(r, r.Sinkhole.SourceProven) }},
		{"transport", func(r *hits.Record) string { return r.Sinkhole.Transport }},
		{"server_ip", func(r *hits.Record) string { return formatAddr(r.Server.IP) }},
		{"server_port", func(r *hits.Record) string { return number(uint64(r.Server.Port)) }},
		{"name", func(r *hits.Record) string { return r.DNS.Question.Name }},
		{"type", func(r *hits.Record) string { return r.DNS.Question.Type }},
		{"registered_domain", func(r *hits.Record) string { return r.DNS.Question.RegisteredDomain }},
		{"response_code", func(r *hits.Record) string { return r.DNS.ResponseCode }},
		{"action", func(r *hits.Record) string { return r.Event.Action }},
		{"mode", func(r *hits.Record) string { return r.Sinkhole.Mode }},
		{"address", func(r *hits.Record) string { return formatAddr(r.Sinkhole.Address) }},
		{"trigger", func(r *hits.Record) string { return r.Sinkhole.Trigger }},
		{"scope", func(r *hits.Record) string { return r.Sinkhole.Scope }},
		{"value", func(r *hits.Record) string { return r.Sinkhole.Value }},
		{"indicator_type", func(r *hits.Record) string { return r.Threat.Indicator.Type }},
		{"indicator", func(r *hits.Record) string { return r.Threat.Indicator.Name }},
		{"families", func(r *hits.Record) string { return strings.Join(r.Sinkhole.Families, "; ") }},
		{"lists", func(r *hits.Record) string { return lists(r.Sinkhole.Lists) }},
		{"confidence", func(r *hits.Record) string { return confidence(r.Sinkhole.Confidence) }},
		{"reference", func(r *hits.Record) string { return r.Threat.Indicator.Reference }},
		{"tlp", func(r *hits.Record) string { return r.Threat.Indicator.Marking.TLP }},
		{"count", func(r *hits.Record) string { return number(count(r)) }},
		{"observer", func(r *hits.Record) string { return r.Observer.Name }},
		{"dataset", func(r *hits.Record) string { return r.Event.Dataset }},
		{"id", func(r *hits.Record) string { return r.Event.ID }},
		{"sequence", func(r *hits.Record) string { return number(r.Event.Sequence) }},
		// Of lists, one by one and in its order: which content of it, which of its
		// files.
		{"list_versions", func(r *hits.Record) string {
			return eachList(r, func(l *hits.RecordList) string { return l.Version })
		}},
		{"list_files", func(r *hits.Record) string {
			return eachList(r, func(l *hits.RecordList) string { return l.File })
		}},
		{"group", func(r *hits.Record) string { return r.Sinkhole.Group }},
		{"client_mac", func(r *hits.Record) string { return r.Client.MAC }},
		{"peer_ip", func(r *hits.Record) string { return formatAddr(r.Sinkhole.Peer.IP) }},
		{"peer_port", func(r *hits.Record) string { return number(uint64(r.Sinkhole.Peer.Port)) }},
		{"proxy", func(r *hits.Record) string { return r.Sinkhole.Peer.Proxy }},
		{"forwarder", func(r *hits.Record) string { return truth(r, r.Sinkhole.Forwarder) }},
		{"expected", func(r *hits.Record) string { return truth(r, r.Sinkhole.Expected) }},
		{"identity_source", func(r *hits.Record) string { return r.Sinkhole.Identity.Source }},
		{"identity_trusted", func(r *hits.Record) string { return truth(r, r.Sinkhole.Identity.Trusted) }},
		{"cpe_id", func(r *hits.Record) string { return r.Sinkhole.Identity.CPE }},
		{"device_id", func(r *hits.Record) string { return r.Sinkhole.Identity.Device }},
		{"ecs_subnet", func(r *hits.Record) string { return formatPrefix(r.Sinkhole.ECS.Subnet) }},
		{"fingerprint", func(r *hits.Record) string { return r.Sinkhole.Fingerprint }},
		// Of connections to the sinkhole address.
		{"evidence", func(r *hits.Record) string { return r.Sinkhole.Evidence }},
		{"joined", func(r *hits.Record) string { return r.Sinkhole.Joined }},
		{"hit_id", func(r *hits.Record) string { return r.Sinkhole.HitID }},
		{"noise", ofConnection(func(r *hits.Record) string { return strconv.FormatBool(r.Sinkhole.Noise) })},
		{"connections", func(r *hits.Record) string { return number(r.Sinkhole.Connections) }},
		{"destination_ip", func(r *hits.Record) string { return formatAddr(r.Destination.IP) }},
		{"destination_port", func(r *hits.Record) string { return number(uint64(r.Destination.Port)) }},
		{"protocol", ofConnection(func(r *hits.Record) string { return r.Network.Protocol })},
		{"bytes", ofConnection(func(r *hits.Record) string { return strconv.FormatUint(r.Sinkhole.Bytes, 10) })},
		{"first_sha256", func(r *hits.Record) string { return r.Sinkhole.FirstSHA256 }},
		{"http_method", func(r *hits.Record) string { return r.HTTP.Request.Method }},
		{"http_host", func(r *hits.Record) string { return r.URL.Domain }},
		{"url_path", func(r *hits.Record) string { return r.URL.Path }},
		{"query_sha256", func(r *hits.Record) string { return r.Sinkhole.QuerySHA256 }},
		{"user_agent", func(r *hits.Record) string { return r.UserAgent.Original }},
		{"tls_server_name", func(r *hits.Record) string { return r.TLS.Client.ServerName }},
		{"tls_alpn", func(r *hits.Record) string { return strings.Join(r.TLS.Client.SupportedProtocols, " ") }},
		{"ja4", func(r *hits.Record) string { return r.TLS.Client.JA4 }},
	}
}

// detailColumns follow them, of what is put into d before each record.
func detailColumns(d *Details) []csvColumn {
	return []csvColumn{
		{"client_name", func(*hits.Record) string { return d.Name }},
		{"owner", func(*hits.Record) string { return d.Owner }},
		{"site", func(*hits.Record) string { return d.Site }},
		{"subscriber", func(*hits.Record) string { return d.Subscriber }},
		{"shared", func(r *hits.Record) string { return truth(r, d.Shared) }},
		{"asn", func(*hits.Record) string { return number(uint64(d.ASN)) }},
		{"as_organization", func(*hits.Record) string { return d.Organization }},
		{"country", func(*hits.Record) string { return d.Country }},
		{"sector", func(*hits.Record) string { return d.Sector }},
	}
}

// csvWriter writes RFC 4180 with every field in quotes: a spreadsheet whose
// separator is another than the comma must not cut a field in two.
type csvWriter struct {
	w       io.Writer
	opts    Options
	details *Details // of the record that is being written
	columns []csvColumn
	end     string // of a line
	buf     []byte
	head    bool // the header is written
}

func newCSV(w io.Writer, o Options) *csvWriter {
	d := new(Details)
	return &csvWriter{w: w, opts: o, details: d, columns: append(csvColumns(), detailColumns(d)...), end: "\r\n"}
}

func (c *csvWriter) Write(r *hits.Record) error {
	c.buf = c.buf[:0]
	c.appendHeader()
	*c.details = c.opts.details(r)
	for i, col := range c.columns {
		c.appendField(i, col.cell(r))
	}
	c.buf = append(c.buf, c.end...)
	_, err := c.w.Write(c.buf)
	return err
}

func (c *csvWriter) Close() error {
	c.buf = c.buf[:0]
	c.appendHeader()
	_, err := c.w.Write(c.buf)
	return err
}

func (c *csvWriter) appendHeader() {
	if c.head {
		return
	}
	c.head = true
	for i, col := range c.columns {
		c.appendField(i, col.name)
	}
	c.buf = append(c.buf, c.end...)
}

func (c *csvWriter) appendField(i int, s string) {
	if i > 0 {
		c.buf = append(c.buf, ',')
	}
	c.buf = append(c.buf, '"')
	s = Printable(s)
	if formula(s) {
		c.buf = append(c.buf, '\'')
	}
	for j := range len(s) {
		if s[j] == '"' {
			c.buf = append(c.buf, '"')
		}
		c.buf = append(c.buf, s[j])
	}
	c.buf = append(c.buf, '"')
}

// formula reports whether a spreadsheet would take the field for a formula: it
// starts with one of = + - @ or their full-width forms, white space left aside.
// An apostrophe before it makes it a text.
func formula(s string) bool {
	s = strings.TrimLeft(s, " ")
	return s != "" && strings.ContainsAny(firstRune(s), "=+-@＝＋－＠")
}

func firstRune(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i]
		}
	}
	return s
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func truth(r *hits.Record, b bool) string {
	if r.Event.Dataset == hits.DatasetJournal {
		return ""
	}
	return strconv.FormatBool(b)
}

func ports(ports []uint16) string {
	s := make([]string, len(ports))
	for i, p := range ports {
		s[i] = strconv.Itoa(int(p))
	}
	return strings.Join(s, " ")
}

func lists(lists []hits.RecordList) string {
	s := make([]string, len(lists))
	for i, l := range lists {
		s[i] = l.Name
		if l.Line > 0 {
			s[i] += ":" + strconv.Itoa(l.Line)
		}
	}
	return strings.Join(s, "; ")
}

// eachList is what the record's lists say, an empty text for one that is
// silent; "" where all are.
func eachList(r *hits.Record, text func(*hits.RecordList) string) string {
	s := make([]string, len(r.Sinkhole.Lists))
	said := false
	for i := range s {
		s[i] = text(&r.Sinkhole.Lists[i])
		said = said || s[i] != ""
	}
	if !said {
		return ""
	}
	return strings.Join(s, "; ")
}

func confidence(c *int) string {
	if c == nil {
		return ""
	}
	return strconv.Itoa(*c)
}
