package blocklist

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A list with $badfilter is what it would be without the rules that these take
// back. Comments in their places keep the lines.
func TestTakenBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	digest := regexp.MustCompile(`sha256:[0-9a-f]+`)
	for round, names := range []int{1, 3, 30, 300, 20_000} { // the last makes several chunks
		var rules []string
		for range names * 2 {
			rules = append(rules, randomRule(random, names))
		}
		taken := map[string]bool{}
		for range names / 3 * 2 {
			rule := randomRule(random, names)
			taken[rule] = true
			separator := "$"
			if strings.Contains(rule, "$") {
				separator = ","
			}
			rules = slices.Insert(rules, random.IntN(len(rules)+1), rule+separator+"badfilter")
		}
		var without []string
		kept := 0
		for _, rule := range rules {
			if taken[rule] || strings.HasSuffix(rule, "badfilter") {
				rule = "! taken back"
			} else {
				kept++
			}
			without = append(without, rule)
		}
		path := filepath.Join(t.TempDir(), "list")
		read := func(rules []string) []string {
			write(t, path, "[Adblock Plus 2.0]\n"+strings.Join(rules, "\n")+"\n")
			l := open(t, Options{Configuration: specsOf(spec("feed", path))})
			var all []string
			for _, one := range everything(l.Policy()) {
				all = append(all, digest.ReplaceAllString(one, ""))
			}
			return all
		}
		if got, want := read(rules), read(without); !slices.Equal(got, want) || kept > 0 && len(want) == 0 {
			t.Fatalf("round %d: %d rules, want %d", round, len(got), len(want))
		}
	}
}

func randomRule(random *rand.Rand, names int) string {
	name := fmt.Sprintf("a-name-of-some-length-%d.example", random.IntN(names))
	switch random.IntN(10) {
	case 0:
		return "@@||" + name + "^"
	case 1:
		return "|" + name + "^"
	case 2:
		return "||" + name + "^$important"
	case 3:
		return fmt.Sprintf("||192.0.2.%d^", random.IntN(min(names, 256)))
	}
	return "||" + name + "^"
}
