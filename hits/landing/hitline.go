package landing

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"sinkhole/hits"
)

// hitLine is what joining needs of the line of a hit.
type hitLine struct {
	Time  time.Time `json:"@timestamp"`
	Event struct {
		ID      string    `json:"id"`
		Action  string    `json:"action"`
		Dataset string    `json:"dataset"`
		End     time.Time `json:"end"`
	} `json:"event"`
	Client   hits.Endpoint       `json:"client"`
	DNS      hits.RecordDNS      `json:"dns"`
	Threat   hits.RecordThreat   `json:"threat"`
	Sinkhole hits.RecordSinkhole `json:"sinkhole"`
}

// readHit reads the line of a hit since a time; nil for other lines.
func readHit(line []byte, since time.Time) (*hitLine, error) {
	if !bytes.Contains(line, []byte(`"dataset":"`+hits.DatasetHit+`"`)) || tooOld(line, since) {
		return nil, nil
	}
	l := new(hitLine)
	if err := json.Unmarshal(line, l); err != nil {
		return nil, err
	}
	if l.Event.Dataset != hits.DatasetHit || l.Event.ID == "" {
		return nil, nil
	}
	return l, nil
}

// tooOld is a cheap look at the time, which stands first; what it cannot read is not.
func tooOld(line []byte, since time.Time) bool {
	const before, layout = `{"@timestamp":"`, "2006-01-02T15:04:05"
	rest, ok := bytes.CutPrefix(line, []byte(before))
	if !ok || len(rest) < len(layout) {
		return false
	}
	earliest := since.UTC().Add(-time.Second).Format(layout) // of a merged line the first hit
	return string(rest[:len(layout)]) < earliest
}

// key is alike for lines that name the same name and indicators.
func (l *hitLine) key() string {
	var b strings.Builder
	part := func(texts ...string) {
		for _, t := range texts {
			b.WriteString(t)
			b.WriteByte(0)
		}
	}
	part(l.DNS.Question.Name, l.Event.Action, l.Threat.Indicator.Name, l.Threat.Software.Name)
	for i := range l.Sinkhole.Lists {
		r := &l.Sinkhole.Lists[i]
		part(r.Name, r.Version, r.File, strconv.Itoa(r.Line))
	}
	for i := range l.Sinkhole.Indicators {
		part(l.Sinkhole.Indicators[i].Name)
	}
	return b.String()
}

// indicators are those of a line, the deciding one first, as its writer was told of them.
func (l *hitLine) indicators() (all []hits.Indicator) {
	s := &l.Sinkhole
	for i := range s.Indicators {
		r := &s.Indicators[i]
		all = append(all, hits.Indicator{
			Type: r.Type, Name: r.Name, Scope: r.Scope, Action: r.Action, List: r.List, Line: r.Line, Family: r.Family,
			Confidence: confidence(r.Confidence), Reference: r.Reference, TLP: r.TLP, FirstSeen: r.FirstSeen, LastSeen: r.LastSeen, Expires: r.Expires,
		})
	}
	if t := &l.Threat; len(all) == 0 && t.Indicator.Name != "" {
		all = append(all, hits.Indicator{
			Type: t.Indicator.Type, Name: t.Indicator.Name, Scope: s.Scope, List: t.Feed.Name, Family: t.Software.Name,
			Confidence: confidence(s.Confidence), Reference: t.Indicator.Reference, TLP: t.Indicator.Marking.TLP,
			FirstSeen: t.Indicator.FirstSeen, LastSeen: t.Indicator.LastSeen, Expires: s.Expires,
		})
		if len(s.Lists) > 0 {
			all[0].Line = s.Lists[0].Line
		}
	}
	for i := range all {
		for _, r := range s.Lists {
			if r.Name == all[i].List && r.Line == all[i].Line {
				all[i].ListVersion, all[i].File = r.Version, r.File
			}
		}
	}
	return all
}

func confidence(c *int) int {
	if c == nil {
		return -1
	}
	return *c
}
