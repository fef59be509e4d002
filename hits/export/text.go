package export

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sinkhole/hits"
)

// Printable escapes what a terminal would act on: control characters, marks of
// direction, what is not UTF-8.
func Printable(s string) string {
	ok := true
	for i := 0; i < len(s) && ok; i++ {
		ok = ' ' <= s[i] && s[i] < 0x7f
	}
	if ok {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteString(s[i : i+size])
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		i += size
	}
	return b.String()
}

// formatTime is RFC 3339 in UTC to the nanosecond; "" for no time.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000000Z")
}

func formatAddr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func formatPrefix(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

// formatClient is who asked: the MAC address where the address is a forwarder's.
func formatClient(r *hits.Record) string {
	e := r.Client
	switch {
	case e.MAC != "" && (!e.IP.IsValid() || e.Port != 0):
		return e.MAC
	case !e.IP.IsValid():
		return ""
	case e.Port == 0:
		return e.IP.String()
	}
	return netip.AddrPortFrom(e.IP, e.Port).String()
}

// count is the hits that a record stands for, of a lost record those lost.
func count(r *hits.Record) uint64 {
	if r.Event.Dataset == hits.DatasetJournal {
		return r.Sinkhole.Lost
	}
	return r.Sinkhole.Count
}
