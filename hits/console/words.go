package console

import (
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"sinkhole/hits/inventory"
)

// templateFuncs are what templates say things with.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"when":      func(t inventory.Time) stamp { return stampOf(time.Unix(0, int64(t)), t == 0) },
		"whenText":  func(s string) stamp { t, err := time.Parse(time.RFC3339, s); return stampOf(t, err != nil) },
		"whenTime":  func(t time.Time) stamp { return stampOf(t, t.IsZero()) },
		"number":    func(n any) string { return grouped(n) },
		"machine":   func(id string) string { return pathTo("machines", id) },
		"indicator": func(name string) string { return pathTo("indicators", name) },
		"list":      func(name string) string { return pathTo("lists", name) },
		"evidence":  evidenceWord,
		"short":     func(s string) string { return short(s, 60) },
		"digest":    func(s string) string { return short(s, 20) },
		"family": func(s string) string {
			if s == "" {
				return "no family named"
			}
			return s
		},
		"join":    func(all []string) string { return strings.Join(all, ", ") },
		"options": func(values ...string) []string { return values },
		"pair":    func(a, b any) []any { return []any{a, b} },
		"formats": formatNames,
		"add":     func(a, b int) int { return a + b },
	}
}

// stamp is a moment: for programs, for people, and how long ago.
type stamp struct{ Exact, Text, Ago string }

func stampOf(t time.Time, never bool) stamp {
	if never {
		return stamp{Text: "never"}
	}
	t = t.UTC()
	return stamp{t.Format(time.RFC3339Nano), t.Format("2006-01-02 15:04:05"), humanize.Time(t)}
}

func grouped(n any) string {
	switch n := n.(type) {
	case int:
		return humanize.Comma(int64(n))
	case uint64:
		return humanize.Comma(int64(min(n, 1<<62)))
	}
	return ""
}

func evidenceWord(level string) string {
	return map[string]string{inventory.Queried: "asked", inventory.Connected: "connected", inventory.Sent: "sent data"}[level]
}

func short(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

func percent(n float64) string { return strconv.FormatFloat(n, 'f', 2, 64) }
