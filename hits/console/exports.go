package console

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"time"

	"sinkhole/hits"
	"sinkhole/hits/export"
)

// formats are those of an export, with what they are.
func formats() map[string]string {
	return map[string]string{
		"csv": "text/csv; charset=utf-8", "json": "application/json", "jsonl": "application/jsonl",
		"stix": "application/stix+json;version=2.1", "shadowserver": "text/csv; charset=utf-8", "misp": "application/jsonl",
	}
}

func formatNames() []string { return []string{"csv", "json", "jsonl", "stix", "shadowserver", "misp"} }

func exportParams() []string { return slices.Concat([]string{"format"}, eventParams()) }

// exportsLast bounds an export.
const exportsLast = time.Hour

// export sends hits as a file. Before its first octet it is on record who asked for it.
func (s *site) export(w http.ResponseWriter, r *http.Request, q *query) error {
	f, format := q.journal(), q.word("format", "csv", formatNames()...)
	f.Damaged = func(hits.Damage) {}
	if q.err != nil {
		return q.err
	}
	free, err := s.place(r.Context(), s.exports, placeWithin)
	if err != nil {
		return err
	}
	defer free()
	v := visitorOf(r)
	if err := s.Audit(hits.Audit{User: v.Name, Role: v.Role.String(), Client: remote(r), Action: "export", Object: strings.TrimSpace(format + " " + s.described(q)), Read: true}); err != nil {
		return &fault{http.StatusServiceUnavailable, "nothing is exported, since that must be on record: " + err.Error()}
	}
	s.count.exports.Add(1)
	out := bufio.NewWriterSize(&moving{w: w, c: http.NewResponseController(w), until: time.Now().Add(exportsLast)}, 64<<10)
	to, err := export.New(format, out, export.Options{Details: s.Details})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", formats()[format])
	w.Header().Set("Content-Disposition", `attachment; filename="`+fileName(format, q.now)+`"`)
	s.Background(func() { err = hits.Read(r.Context(), s.Journal, f, to.Write) })
	if err == nil {
		err = to.Close()
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the file must not look whole
	}
	return nil
}

// described is the filter of a query in words.
func (s *site) described(q *query) string {
	var words []string
	for _, name := range eventParams() {
		text := q.text(name)
		if text != "" && (name == "client" || name == "peer" || name == "mac") {
			text = s.Veil.Written(text)
		}
		if text != "" {
			words = append(words, name+"="+text)
		}
	}
	return strings.Join(words, " ")
}

func fileName(format string, now time.Time) string {
	end := map[string]string{"csv": "csv", "json": "json", "jsonl": "jsonl", "stix": "json", "misp": "jsonl"}[format]
	if format == "shadowserver" { // IntelMQ goes by it
		return now.UTC().Format(time.DateOnly) + "-event4_sinkhole_dns-export.csv"
	}
	return "hits-" + now.UTC().Format("20060102T150405Z") + "." + end
}

// moving gives each piece of an answer its time.
type moving struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	until time.Time
}

func (m *moving) Write(p []byte) (int, error) {
	deadline := time.Now().Add(writeWithin)
	if deadline.After(m.until) {
		deadline = m.until
	}
	_ = m.c.SetWriteDeadline(deadline) // else the next write fails
	return m.w.Write(p)
}
