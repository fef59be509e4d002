package export

import (
	"encoding/json"
	"io"
	"strings"

	"sinkhole/hits"
)

// misp writes a sighting on each line, as MISP takes it by POST /sightings/add.
type misp struct {
	w   io.Writer
	buf []byte
}

// mispSighting is MISP's. Type 0 is a sighting, 1 would be a false positive.
type mispSighting struct {
	Values    []string `json:"values"`
	Type      string   `json:"type"`
	Source    string   `json:"source"`
	Timestamp int64    `json:"timestamp"` // Unix seconds
}

// Write tells of each indicator that matched. A line for several hits is one sighting.
// Observed hits count; those of clients that look names up for a living do not.
func (m *misp) Write(r *hits.Record) error {
	if r.Event.Dataset != hits.DatasetHit || r.Sinkhole.Expected {
		return nil
	}
	s := mispSighting{Type: "0", Source: strings.TrimSpace("sinkhole " + r.Observer.Name), Timestamp: r.Time.Unix()}
	for _, i := range r.Sinkhole.Indicators {
		s.Values = append(s.Values, i.Name)
	}
	if len(s.Values) == 0 {
		s.Values = []string{r.Threat.Indicator.Name}
	}
	m.buf = m.buf[:0]
	var err error
	if m.buf, err = appendObject(m.buf, s); err != nil {
		return err
	}
	_, err = m.w.Write(append(m.buf, '\n'))
	return err
}

func (m *misp) Close() error { return nil }

// appendObject appends JSON that does nothing to a terminal.
func appendObject(dst []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	return (&hits.Record{Raw: text}).AppendJSON(dst), nil
}
