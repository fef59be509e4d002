package format

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// patternValues gives the values of a pattern as "KIND VALUE".
func patternValues(pattern string) (values []string, lacking bool, p problem) {
	var x stixPattern
	p = x.read([]byte(pattern))
	for _, v := range x.values {
		values = append(values, v.kind+" "+string(x.value(v)))
	}
	return values, x.lacking, p
}

func TestSTIXPattern(t *testing.T) {
	const lacking = "..." // stands for what DNS cannot tell
	for _, tt := range []struct {
		pattern string
		want    []string
	}{
		{"[domain-name:value = 'a.example']", []string{"domain-name a.example"}},
		{" [\tdomain-name:value='a.example'\n] ", []string{"domain-name a.example"}},
		{"[domain-name:value == 'a.example']", []string{"domain-name a.example"}},
		{"([(domain-name:value = 'a.example')])", []string{"domain-name a.example"}},
		{"[url:value = 'http://a.example/it\\'s\\\\x']", []string{"url http://a.example/it's\\x"}},
		{"[url:value = 'http://a.example/\\d']", []string{"url http://a.example/\\d"}},
		{"[ipv4-addr:value = '192.0.2.0/24' or ipv6-addr:value = '2001:db8::1']", []string{"ipv4-addr 192.0.2.0/24", "ipv6-addr 2001:db8::1"}},
		{"[ipv4-addr:value ISSUBSET '192.0.2.0/24']", []string{"ipv4-addr 192.0.2.0/24"}},
		{"[ipv4-addr:value IN ('192.0.2.1', '192.0.2.2')]", []string{"ipv4-addr 192.0.2.1", "ipv4-addr 192.0.2.2"}},
		{"[domain-name:value = 'a.example'] OR [domain-name:value = 'b.example']", []string{"domain-name a.example", "domain-name b.example"}},
		{"[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:dst_port = 443 AND network-traffic:protocols[*] = 'tcp']", []string{"url 192.0.2.1"}},
		{"[network-traffic:dst_ref.type = 'ipv4-addr' AND (network-traffic:dst_ref.value = '192.0.2.1' OR network-traffic:dst_ref.value = '192.0.2.2')]", []string{"url 192.0.2.1", "url 192.0.2.2"}},
		{"[domain-name:value = 'a.example' OR file:hashes.'SHA-256' = 'aa']", []string{"domain-name a.example", lacking}},
		{"[domain-name:value = 'a.example'] OR [domain-name:value = 'b.example'] AND [file:name = 'x']", []string{"domain-name a.example", lacking}},
		{"[domain-name:value = 'a.example' OR domain-name:value = 'b.example' AND file:name = 'x']", []string{"domain-name a.example", lacking}},
		{"[domain-name:value = 'a.example' AND ipv4-addr:value = '192.0.2.1']", []string{lacking}},
		{"[domain-name:value = 'a.example' AND (file:size > 1 OR file:name LIKE '%x')]", []string{lacking}},
		{"[domain-name:value = 'a.example'] AND [ipv4-addr:value = '192.0.2.1']", []string{lacking}},
		{"[domain-name:value = 'a.example'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.1']", []string{lacking}},
		{"[domain-name:value = 'a.example'] REPEATS 5 TIMES WITHIN 1800.5 SECONDS", []string{lacking}},
		{"[domain-name:value = 'a.example'] START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'", []string{lacking}},
		{"[domain-name:value != 'a.example']", []string{lacking}},
		{"[domain-name:value NOT = 'a.example']", []string{lacking}},
		{"[domain-name:value LIKE '%.example']", []string{lacking}},
		{"[domain-name:value MATCHES '^a']", []string{lacking}},
		{"[domain-name:value ISSUBSET '192.0.2.0/24']", []string{lacking}},
		{"[url:value ISSUBSET '192.0.2.0/24']", []string{lacking}},
		{"[ipv4-addr:value ISSUPERSET '192.0.2.0/24']", []string{lacking}},
		{"[EXISTS domain-name:value]", []string{lacking}},
		{"[domain-name:value = 5]", []string{lacking}},
		{"[domain-name:value = b'YQ==']", []string{lacking}},
		{"[domain-name:value IN ('a.example', 5)]", []string{lacking}},
		{"[network-traffic:dst_port = 80]", []string{lacking}},
		{"[network-traffic:dst_port = 80 OR domain-name:value = 'a.example']", []string{"domain-name a.example", lacking}},
		{"[network-traffic:src_ref.value = '192.0.2.1']", []string{lacking}},
		{"[x-own:a[0].b_c.'d e'[*] = true]", []string{lacking}},
	} {
		values, lacks, p := patternValues(tt.pattern)
		if lacks {
			values = append(values, lacking)
		}
		if p.is() || !slices.Equal(values, tt.want) {
			t.Errorf("%s:\n%q, %s; want %q", tt.pattern, values, p.reason, tt.want)
		}
	}
}

func TestSTIXPatternBroken(t *testing.T) {
	for _, tt := range []struct{ pattern, want string }{
		{"", "at character 1, expected an observation in brackets"},
		{"domain-name:value = 'a.example'", "at character 1, expected an observation in brackets"},
		{"[domain-name:value = 'a.example'", "at character 33, expected ]"},
		{"[domain-name:value = 'a.example", "at character 22, expected the end of a string"},
		{"[domain-name:value = 'a.example\\']", "expected the end of a string"},
		{"[domain-name:value 'a.example']", "expected a comparison operator"},
		{"[domain-name:value =]", "expected a value"},
		{"[domain-name = 'a.example']", "at character 2, expected an object path"},
		{"[]", "expected an object path"},
		{"[domain-name:value = 'a'] 'b'", "expected AND, OR, FOLLOWEDBY or the end"},
		{"[domain-name:value = 'a'] WITHIN 5", "expected SECONDS"},
		{"[domain-name:value = 'a'] START t'x'", "expected STOP"},
		{"[domain-name:value IN 'a']", "expected ( behind IN"},
		{"[domain-name:value IN ('a']", "expected )"},
		{"([domain-name:value = 'a']", "expected )"},
		{"[file:hashes.'a = 'b']", "expected"},
		{strings.Repeat("(", 1000), "nested more than 64 deep"},
		{"[" + strings.Repeat("(", 1000), "nested more than 64 deep"},
	} {
		if values, _, p := patternValues(tt.pattern); !strings.Contains(p.reason, tt.want) || p.class != classMalformed {
			t.Errorf("%.60s: %q, %q; want a problem that says %q", tt.pattern, values, p.reason, tt.want)
		}
	}
}

// patternTree is a pattern as the test makes it up.
type patternTree struct {
	op       string // AND, OR, FOLLOWEDBY, qualifier; or leaf
	observed bool   // an operator between observations
	text     string // of a leaf
	value    string // of a leaf that has one, unlike all others
	narrows  bool   // a leaf that narrows an address
	operands []*patternTree
}

// holds says whether the pattern is met when nothing but one value is seen.
func (n *patternTree) holds(value string) bool {
	met := func(o *patternTree) bool { return o.holds(value) }
	switch n.op {
	case "OR":
		return slices.ContainsFunc(n.operands, met)
	case "AND":
		return !n.observed && !slices.ContainsFunc(n.operands, func(o *patternTree) bool { return !met(o) })
	case "[":
		return met(n.operands[0])
	case "leaf":
		return n.narrows || n.value == value
	}
	return false // FOLLOWEDBY and qualifiers want more than one sight
}

// patternMaker makes up patterns.
type patternMaker struct {
	*rand.Rand
	values []string
	joined bool // an AND of comparisons that each have values
}

func (m *patternMaker) observation(depth int) *patternTree {
	switch k := m.IntN(8); {
	case depth == 0 || k < 4:
		return &patternTree{op: "[", operands: []*patternTree{m.comparison(3)}}
	case k == 4:
		return &patternTree{op: "qualifier", observed: true, operands: []*patternTree{m.observation(depth - 1)}}
	default:
		op := []string{"OR", "OR", "AND", "FOLLOWEDBY"}[m.IntN(4)]
		return &patternTree{op: op, observed: true, operands: []*patternTree{m.observation(depth - 1), m.observation(depth - 1)}}
	}
}

func (m *patternMaker) comparison(depth int) *patternTree {
	switch k := m.IntN(8); {
	case depth == 0 || k < 3:
		return m.leaf()
	case k < 6:
		return &patternTree{op: "OR", operands: []*patternTree{m.comparison(depth - 1), m.comparison(depth - 1)}}
	case k == 6:
		narrow := &patternTree{op: "leaf", narrows: true, text: "network-traffic:dst_port = 443"}
		operands := []*patternTree{m.comparison(depth - 1), narrow}
		m.Shuffle(2, func(i, j int) { operands[i], operands[j] = operands[j], operands[i] })
		return &patternTree{op: "AND", operands: operands}
	default:
		m.joined = true
		return &patternTree{op: "AND", operands: []*patternTree{m.comparison(depth - 1), m.comparison(depth - 1)}}
	}
}

func (m *patternMaker) leaf() *patternTree {
	if m.IntN(3) == 0 {
		return &patternTree{op: "leaf", text: []string{"file:name = 'x OR y'", "EXISTS domain-name:value", "domain-name:value LIKE '%['", "file:hashes.'SHA-256' = 'aa'", "x:y[*].z NOT IN (1, 2)"}[m.IntN(5)], value: "none"}
	}
	value := fmt.Sprintf("it's-%d\\", len(m.values))
	m.values = append(m.values, value)
	literal := "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
	return &patternTree{op: "leaf", value: value, text: []string{"domain-name:value = ", "url:value == ", "network-traffic:dst_ref.value="}[m.IntN(3)] + literal}
}

// write renders the tree, with the parentheses that it needs and some that it
// does not.
func (m *patternMaker) write(n *patternTree) string {
	space := func() string { return []string{" ", "\t", "\n ", "  "}[m.IntN(4)] }
	switch n.op {
	case "leaf":
		return n.text
	case "[":
		return "[" + space() + m.write(n.operands[0]) + space() + "]"
	case "qualifier":
		qualifier := []string{"WITHIN 5 SECONDS", "REPEATS 2 TIMES", "START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'"}[m.IntN(3)]
		return "(" + m.write(n.operands[0]) + ")" + space() + qualifier
	}
	var parts []string
	for _, o := range n.operands {
		part := m.write(o)
		if len(o.operands) > 1 && (weaker(o.op, n.op) || m.IntN(2) == 0) {
			part = "(" + part + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, space()+n.op+space())
}

func weaker(a, b string) bool {
	order := []string{"FOLLOWEDBY", "OR", "AND"}
	return slices.Index(order, a) < slices.Index(order, b)
}

// FuzzSTIXPattern makes up patterns of which it knows what they mean. A value
// that is taken must be enough for the pattern to match; and each that is
// enough must be taken, unless comparisons that have values are joined by AND,
// which we do not look into.
func FuzzSTIXPattern(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m := &patternMaker{Rand: rand.New(rand.NewPCG(seed, 0))}
		tree := m.observation(4)
		pattern := m.write(tree)
		values, lacking, p := patternValues(pattern)
		if p.is() {
			t.Fatalf("%s: %s", pattern, p.reason)
		}
		for i, value := range values {
			_, values[i], _ = strings.Cut(value, " ")
			if !tree.holds(values[i]) {
				t.Fatalf("%s: %q is not enough", pattern, values[i])
			}
		}
		for _, value := range m.values {
			if !m.joined && tree.holds(value) && !slices.Contains(values, value) {
				t.Fatalf("%s: %q is enough, but %q were taken", pattern, value, values)
			}
		}
		if len(values) == 0 && !lacking {
			t.Fatalf("%s: neither values nor anything left out", pattern)
		}
	})
}
