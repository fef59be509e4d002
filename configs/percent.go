package configs

import (
	"fmt"
	"strconv"
	"strings"
)

// Percent is a share of 100.
type Percent int

func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }

func parsePercent(s string) (Percent, error) {
	const expected = `expected a whole percentage from 0% to 100%`
	number, ok := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || n < 0 || n > 100:
		return 0, fmt.Errorf("found %q, %s", s, expected)
	case !ok:
		return 0, fmt.Errorf("found %s without the sign, %s; did you mean %s%%?", s, expected, s)
	}
	return Percent(n), nil
}
