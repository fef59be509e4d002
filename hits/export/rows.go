package export

import (
	"bufio"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"sinkhole/hits"
)

// Column is one of a view that is no list of records.
type Column struct {
	Name  string // in CSV, and of the table's head in capitals with spaces
	Least int    // width in a table below which it says nothing; 0: never cut
	Tail  bool   // of a text too long for a table the end is kept
	Right bool   // numbers
	// Rank orders what a table leaves out where even the least widths do not fit: highest
	// first. CSVOnly leaves it out always.
	Rank    int
	CSVOnly bool
	// Optional leaves a column out of a table in which it is empty.
	Optional bool
}

// Rows renders a view: as a table or CSV the columns of each row, as json (one array) or jsonl
// the values that the rows are of.
func Rows[T any](format string, w io.Writer, opts Options, columns []Column, all []T, cells func(T) []string) error {
	out := bufio.NewWriter(w)
	var err error
	switch format {
	case "table":
		err = tableRows(out, opts, columns, all, cells)
	case "csv":
		err = csvRows(out, columns, all, cells)
	case "json", "jsonl":
		err = jsonRows(out, format == "json", all)
	default:
		err = Known(format)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// Known is an error that says which formats there are, for one that is none of them.
func Known(format string) error {
	_, err := New(format, io.Discard, Options{})
	return err
}

// tableRows measures all rows before it writes the first.
func tableRows[T any](w io.Writer, opts Options, columns []Column, all []T, cells func(T) []string) error {
	t := &table{w: w, width: opts.Width}
	var shown []int
	var widths []int
	for i, c := range columns {
		if c.CSVOnly {
			continue
		}
		if c.Optional && !slices.ContainsFunc(all, func(x T) bool { return cells(x)[i] != "" }) {
			continue
		}
		head := strings.ToUpper(strings.ReplaceAll(c.Name, "_", " "))
		t.columns = append(t.columns, column{head: head, least: c.Least, tail: c.Tail, right: c.Right, rank: c.Rank})
		shown, widths = append(shown, i), append(widths, len(head))
	}
	rows := make([][]string, len(all))
	for n, x := range all {
		every := cells(x)
		row := make([]string, len(shown))
		for i, from := range shown {
			row[i] = Printable(every[from])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		rows[n] = row
	}
	t.fix(widths)
	for _, row := range rows {
		if err := t.put(row); err != nil {
			return err
		}
	}
	return t.flush()
}

func csvRows[T any](w io.Writer, columns []Column, all []T, cells func(T) []string) error {
	c := &csvWriter{w: w}
	put := func(row []string) error {
		c.buf = c.buf[:0]
		for i, cell := range row {
			c.appendField(i, cell)
		}
		c.buf = append(c.buf, "\r\n"...)
		_, err := w.Write(c.buf)
		return err
	}
	var names []string
	for _, col := range columns {
		names = append(names, col.Name)
	}
	if err := put(names); err != nil {
		return err
	}
	for _, x := range all {
		if err := put(cells(x)); err != nil {
			return err
		}
	}
	return nil
}

// jsonRows writes a value a line.
func jsonRows[T any](w io.Writer, array bool, all []T) error {
	before, between, end := "", "\n", "\n"
	if array {
		before, between, end = "[\n", ",\n", "\n]\n"
		if len(all) == 0 {
			before, end = "[", "]\n"
		}
	} else if len(all) == 0 {
		end = ""
	}
	if _, err := io.WriteString(w, before); err != nil {
		return err
	}
	var buf []byte
	for i, x := range all {
		text, err := json.Marshal(x)
		if err != nil {
			return err
		}
		buf = buf[:0]
		if i > 0 {
			buf = append(buf, between...)
		}
		buf = (&hits.Record{Raw: text}).AppendJSON(buf)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, end)
	return err
}
