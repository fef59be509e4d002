package export

import (
	"strings"
	"testing"
)

type animal struct {
	Name string `json:"name"`
	Legs string `json:"legs"`
}

func rows(t *testing.T, format string, width int, all ...animal) string {
	t.Helper()
	columns := []Column{{Name: "legs_all", Right: true}, {Name: "name", Least: 4, Tail: true}, {Name: "code", CSVOnly: true}}
	var b strings.Builder
	if err := Rows(format, &b, Options{Width: width}, columns, all, func(a animal) []string { return []string{a.Legs, a.Name, "x"} }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRows(t *testing.T) {
	cat, bad := animal{"a long-haired cat", "4"}, animal{"=1+\x1b[2J\"\u202e", "8"}
	for _, c := range []struct {
		format string
		width  int
		all    []animal
		want   string
	}{
		{"table", 0, []animal{cat, bad}, "LEGS ALL  NAME\n       4  a long-haired cat\n       8  =1+\\x1b[2J\"\\u{202e}\n"},
		{"table", 18, []animal{cat}, "LEGS ALL  NAME\n       4  …red cat\n"},
		{"table", 0, nil, "LEGS ALL  NAME\n"},
		{"csv", 0, []animal{bad}, "\"legs_all\",\"name\",\"code\"\r\n\"8\",\"'=1+\\x1b[2J\"\"\\u{202e}\",\"x\"\r\n"},
		{"csv", 0, nil, "\"legs_all\",\"name\",\"code\"\r\n"},
		{"json", 0, []animal{cat, cat}, "[\n{\"name\":\"a long-haired cat\",\"legs\":\"4\"},\n{\"name\":\"a long-haired cat\",\"legs\":\"4\"}\n]\n"},
		{"json", 0, nil, "[]\n"},
		{"jsonl", 0, []animal{cat, bad}, "{\"name\":\"a long-haired cat\",\"legs\":\"4\"}\n{\"name\":\"=1+\\u001b[2J\\\"\\u202e\",\"legs\":\"8\"}\n"},
		{"jsonl", 0, nil, ""},
	} {
		if got := rows(t, c.format, c.width, c.all...); got != c.want {
			t.Errorf("%s of %d: found %q, want %q", c.format, len(c.all), got, c.want)
		}
	}
	if err := Rows("xml", new(strings.Builder), Options{}, nil, []animal{cat}, nil); err == nil || Known("xml") == nil || Known("csv") != nil {
		t.Error("the formats that are known are others")
	}
}
