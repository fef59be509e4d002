package export

import (
	"cmp"
	"net/netip"

	"sinkhole/hits"
)

// connectionName is what a connection is about: what the client asked for, else what it
// named, else where it went.
func connectionName(r *hits.Record) string {
	if name := cmp.Or(r.DNS.Question.Name, r.URL.Domain, r.TLS.Client.ServerName); name != "" || !r.Destination.IP.IsValid() {
		return name
	}
	return netip.AddrPortFrom(r.Destination.IP, r.Destination.Port).String()
}

// connectionMarks say what a connection is evidence of.
func connectionMarks(r *hits.Record) []string {
	marks := []string{r.Sinkhole.Evidence}
	switch {
	case r.Sinkhole.Noise:
		marks = append(marks, "noise")
	case r.Sinkhole.HitID != "":
		marks = append(marks, "by "+r.Sinkhole.Joined)
	}
	return marks
}

// ofConnection leaves a cell empty in rows of other records.
func ofConnection(cell func(*hits.Record) string) func(*hits.Record) string {
	return func(r *hits.Record) string {
		if r.Event.Dataset != hits.DatasetLanding {
			return ""
		}
		return cell(r)
	}
}
