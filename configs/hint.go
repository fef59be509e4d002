package configs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxHinted bounds the words for which a near one is looked for.
const maxHinted = 40

// didYouMean is `; did you mean "x"?` with the word nearest to s, or empty when
// none is near.
func didYouMean(s string, words []string) string {
	if near := nearest(s, words); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

func nearest(s string, words []string) string {
	if s == "" || len(s) > maxHinted {
		return ""
	}
	s = strings.ReplaceAll(strings.ToLower(s), "-", "_")
	best, bestDistance := "", 1+max(1, len(s)/3)
	for _, word := range words {
		if d := distance(s, strings.ReplaceAll(word, "-", "_")); d < bestDistance {
			best, bestDistance = word, d
		}
	}
	return best
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours between a and b (optimal string alignment), by bytes.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, last, next := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(last[j]+1, next[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}

// unknownHint says what may have been meant by the unknown key name in the
// section key, whose own keys are names.
func unknownHint(key, name string, names []string) string {
	var at []string
	for _, f := range schema() {
		if f.schema == join(schemaKey(key), name) {
			depth := strings.Count(name, ".")
			return fmt.Sprintf("; write it nested, as in %s: ...%s", strings.ReplaceAll(name, ".", ": {"), strings.Repeat("}", depth))
		}
		for k := f.schema; k != ""; k = k[:max(0, strings.LastIndexByte(k, '.'))] {
			if k[strings.LastIndexByte(k, '.')+1:] == name && !slices.Contains(at, k) {
				at = append(at, k)
			}
		}
	}
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	if len(at) > 0 && len(at) <= 4 {
		return "; it belongs elsewhere: " + strings.Join(at, ", ")
	}
	return "; expected " + oneOf(names)
}

// oneOf lists words for a sentence.
func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

func shorten(s string) string {
	const limit = 60
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "..."
	}
	return s
}

// printable is a key of the file as a message shows it.
func printable(key string) string {
	key = shorten(key)
	if quoted := strconv.Quote(key); quoted != `"`+key+`"` || key == "" {
		return quoted
	}
	return key
}
