package sink

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sinkhole/hits"
)

// maxDatagram is the longest message over UDP (RFC 5426 section 3.2), over IPv4.
const maxDatagram = 65507

// Priorities: facility local0, and a severity (RFC 5424 section 6.2.1).
const (
	priorityHit     = "<132>" // warning
	priorityLost    = "<131>" // error
	priorityJournal = "<134>" // informational
	priorityHead    = "<133>" // notice
)

// noise is in the lines of connections that are none of a machine; a quotation mark of what
// a client sent is escaped.
const noise = `"noise":true`

// Syslog is a receiver of RFC 5424: each line of the journal, and each head of its chain, is the MSG
// of a message, over UDP (RFC 5426), TCP with octet counting (RFC 6587), or TLS (RFC 5425).
type Syslog struct {
	Target
	Host    string // of this resolver
	Version string // of this program
}

func (r *Syslog) connect(ctx context.Context) (*connection, error) {
	c, err := r.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	head := r.head()
	var message, count []byte
	put := func() error {
		if c.datagrams {
			if len(message) > maxDatagram {
				return errTooLong
			}
			_, err := c.conn.Write(message)
			if errors.Is(err, syscall.EMSGSIZE) {
				return errTooLong
			}
			return err
		}
		count = append(strconv.AppendInt(count[:0], int64(len(message)), 10), ' ')
		if _, err := c.out.Write(count); err != nil {
			return err
		}
		_, err := c.out.Write(message)
		return err
	}
	c.put = func(line []byte) error {
		if bytes.Contains(line, []byte(noise)) {
			return errNotForReceiver // the Internet scans every address
		}
		message = appendMessage(message[:0], head, line)
		return put()
	}
	c.putHead = func(line []byte, signed time.Time) error {
		message = appendHead(message[:0], head, line, signed)
		return put()
	}
	return c, nil
}

// syslogHead is what all messages have: HOSTNAME to PROCID, and the structured data, which is
// the origin of RFC 5424 section 7.2 since that needs no enterprise number.
type syslogHead struct{ names, origin string }

func (r *Syslog) head() syslogHead {
	return syslogHead{
		names:  " " + headerField(r.Host, 255) + " sinkhole " + strconv.Itoa(os.Getpid()) + " ",
		origin: `[origin software="sinkhole" swVersion="` + headerField(strings.Map(noDelimiter, r.Version), 32) + `"]`,
	}
}

// noDelimiter drops what a PARAM-VALUE would need to escape.
func noDelimiter(r rune) rune {
	if strings.ContainsRune(`"\]`, r) {
		return -1
	}
	return r
}

// headerField is text with printable ASCII only, at most so long, or the NILVALUE.
func headerField(text string, longest int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), longest)]
}

// appendMessage appends a SYSLOG-MSG. MSG is the line without a byte order mark, so that a
// reader of JSON takes it (MSG-ANY).
func appendMessage(dst []byte, head syslogHead, line []byte) []byte {
	priority, id := priorityHit, "hit"
	switch {
	case bytes.Contains(line, []byte(`"dataset":"`+hits.DatasetAudit+`"`)):
		priority, id = priorityJournal, "audit"
	case !bytes.Contains(line, []byte(`"dataset":"`+hits.DatasetJournal+`"`)):
		if bytes.Contains(line, []byte(`"dataset":"`+hits.DatasetLanding+`"`)) {
			id = "landing"
		}
	case bytes.Contains(line, []byte(`"action":"lost"`)):
		priority, id = priorityLost, "journal"
	default:
		priority, id = priorityJournal, "journal"
	}
	dst = append(append(dst, priority...), "1 "...)
	dst = appendTimestamp(dst, line)
	return head.finish(dst, id, line)
}

// appendHead appends the SYSLOG-MSG of a head of the journal's chain.
func appendHead(dst []byte, head syslogHead, line []byte, signed time.Time) []byte {
	dst = append(append(dst, priorityHead...), "1 "...)
	dst = signed.UTC().AppendFormat(dst, timestamp)
	return head.finish(dst, "head", line)
}

// finish appends what follows TIMESTAMP.
func (head *syslogHead) finish(dst []byte, id string, line []byte) []byte {
	dst = append(append(append(dst, head.names...), id...), ' ')
	dst = append(append(dst, head.origin...), ' ')
	return append(dst, line...)
}

const timestamp = "2006-01-02T15:04:05.000000Z"

// appendTimestamp appends the line's @timestamp with the six digits that RFC 5424 section
// 6.2.3 allows at most, cut and not rounded; the NILVALUE where the line has none.
func appendTimestamp(dst, line []byte) []byte {
	const before = `{"@timestamp":"`
	rest, ok := bytes.CutPrefix(line, []byte(before))
	text, _, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed {
		return append(dst, '-')
	}
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil || at.UTC().Year() > 9999 {
		return append(dst, '-')
	}
	return at.UTC().AppendFormat(dst, timestamp)
}
