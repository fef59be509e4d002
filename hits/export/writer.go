// Package export renders records of the hit journal. Whatever stands in a
// record, the output does nothing to the terminal that shows it and starts
// nothing in the spreadsheet that opens it.
package export

import (
	"fmt"
	"io"
	"strings"

	"sinkhole/hits"
)

// Writer renders records to where it was made for. It is for one goroutine.
type Writer interface {
	// Write renders one record. But for a table, which looks at the first
	// records before it fixes its columns, it goes out at once, in one call of
	// the underlying Write: wrap that in a bufio.Writer where records are many.
	Write(*hits.Record) error
	// Close ends the output. It does not close the underlying writer.
	Close() error
}

// Options are the choices of some formats.
type Options struct {
	// Width is the number of columns of the terminal that a table has to fit;
	// 0: as wide as the table gets.
	Width int
	// Live makes a table write each record at once, in columns of usual widths,
	// for records that come in as they happen.
	Live bool
	// Details tells more of who asked; nil: nobody knows more.
	Details func(*hits.Record) Details
}

// Details is what is known of a client beside its record.
type Details struct {
	hits.Who
	hits.Place
}

func (o *Options) details(r *hits.Record) (d Details) {
	if o.Details != nil {
		d = o.Details(r)
	}
	return d
}

// Formats returns the formats that New knows.
func Formats() []string {
	return []string{"table", "csv", "json", "jsonl", "stix", "shadowserver", "misp"}
}

// New returns a Writer of a format: table, csv, json (one array), jsonl (the
// journal's lines, with what is known beside them), stix (a bundle of STIX 2.1), shadowserver (the report
// event4_sinkhole_dns) or misp (a sighting on each line).
func New(format string, w io.Writer, opts Options) (Writer, error) {
	switch format {
	case "table":
		return newTable(w, opts), nil
	case "csv":
		return newCSV(w, opts), nil
	case "json":
		return &jsonWriter{w: w, opts: opts}, nil
	case "jsonl":
		return &linesWriter{w: w, opts: opts}, nil
	case "stix":
		return newSTIX(w, opts), nil
	case "shadowserver":
		return newShadowserver(w, opts), nil
	case "misp":
		return &misp{w: w}, nil
	}
	return nil, fmt.Errorf("unknown format %q: expected one of %s", format, strings.Join(Formats(), ", "))
}
