package export

import (
	"io"
	"strconv"
	"strings"

	"sinkhole/hits"
)

// shadowserverColumns are those of the report event4_sinkhole_dns in its order, which has
// clients of both address families: there is no event6_sinkhole_dns. What is not known stays
// empty.
func shadowserverColumns(d *Details) []csvColumn {
	none := func(*hits.Record) string { return "" }
	family := func(r *hits.Record) string { return strings.ToLower(strings.Join(r.Sinkhole.Families, ", ")) }
	return []csvColumn{
		{"timestamp", func(r *hits.Record) string { return r.Time.UTC().Format("2006-01-02 15:04:05.000000") }},
		{"protocol", func(r *hits.Record) string { return r.Network.Transport }},
		{"src_ip", func(r *hits.Record) string { return formatAddr(r.Client.IP) }},
		{"src_port", func(r *hits.Record) string { return number(uint64(r.Client.Port)) }},
		{"src_asn", func(*hits.Record) string { return number(uint64(d.ASN)) }},
		{"src_geo", func(*hits.Record) string { return d.Country }},
		{"src_region", none},
		{"src_city", none},
		{"src_hostname", func(*hits.Record) string { return d.Name }},
		{"src_naics", none},
		{"src_sector", func(*hits.Record) string { return d.Sector }},
		{"device_vendor", none},
		{"device_type", none},
		{"device_model", none},
		{"severity", func(*hits.Record) string { return "info" }},
		{"infection", family},
		{"family", family},
		{"tag", func(r *hits.Record) string { return tableList(r) }},
		{"query_type", func(r *hits.Record) string { return r.DNS.Question.Type }},
		{"query", shadowserverQuery},
		{"count", func(r *hits.Record) string { return strconv.FormatUint(max(1, count(r)), 10) }},
	}
}

// shadowserverQuery is the name asked for, of a line merged by client an indicator that it
// matched.
func shadowserverQuery(r *hits.Record) string {
	if r.DNS.Question.Name == "" {
		return r.Threat.Indicator.Name
	}
	return r.DNS.Question.Name
}

// shadowserver writes hits of machines as Shadowserver reports them: every field in quotes,
// lines end as on Unix.
type shadowserver struct{ csvWriter }

func newShadowserver(w io.Writer, o Options) *shadowserver {
	d := new(Details)
	columns := shadowserverColumns(d)
	if o.Details != nil { // the report has no such columns; IntelMQ keeps them as they are
		columns = append(columns,
			csvColumn{"src_owner", func(*hits.Record) string { return d.Owner }},
			csvColumn{"src_site", func(*hits.Record) string { return d.Site }},
			csvColumn{"src_subscriber", func(*hits.Record) string { return d.Subscriber }})
	}
	return &shadowserver{csvWriter{w: w, opts: o, details: d, columns: columns, end: "\n"}}
}

// Write leaves out what is no finding.
func (s *shadowserver) Write(r *hits.Record) error {
	if !isFinding(r) {
		return nil
	}
	return s.csvWriter.Write(r)
}

// isFinding reports whether a record is of a machine, and not of who only passes queries on,
// or looks such names up for a living.
func isFinding(r *hits.Record) bool {
	ip := r.Client.IP
	return r.Event.Dataset == hits.DatasetHit && ip.IsValid() && !ip.IsUnspecified() && !r.Sinkhole.Expected && !r.Sinkhole.Forwarder
}
