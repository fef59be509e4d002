package inventory

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

const (
	// maxMatches bounds the table matched. Beyond it hits are counted by families and lists
	// alone, of which there may be as many again.
	maxMatches = 500_000
	// keptMatches bounds those whose rows are known without a look into the table.
	keptMatches = 65_536
	// noMatch is the row of none: neither indicator nor family nor list is known.
	noMatch = 0
)

// What ends a field of a rule, and a rule, in the table matched. No name has them.
const (
	fieldEnd = '\x1f'
	ruleEnd  = '\x1e'
)

// matches numbers what hits matched: each set of rules once, so that a hit that matched
// several is one, whatever it is counted by.
type matches struct {
	known  map[string]uint32
	last   uint32
	find   *sql.Stmt
	added  []addedMatch // not written yet
	buf    []byte
	capped uint64 // lines whose indicators were not kept
}

type addedMatch struct {
	id    uint32
	rules string
}

// of is the row of a line's rules.
func (x *matches) of(ctx context.Context, l *line) (uint32, error) {
	if l.byClient || len(l.rules) == 0 {
		return x.outline(ctx, l)
	}
	x.buf = x.buf[:0]
	for i := range l.rules {
		x.buf = l.rules[i].append(x.buf)
	}
	id, found, err := x.number(ctx, maxMatches)
	if err != nil || found {
		return id, err
	}
	x.capped++
	return x.outline(ctx, l)
}

// one is the row of one rule alone.
func (x *matches) one(ctx context.Context, r *rule) (uint32, bool, error) {
	x.buf = r.append(x.buf[:0])
	return x.number(ctx, maxMatches)
}

// outline is the row of families and lists without indicators.
func (x *matches) outline(ctx context.Context, l *line) (uint32, error) {
	x.buf = x.buf[:0]
	for _, family := range l.families {
		x.buf = (&rule{family: family}).append(x.buf)
	}
	for i, list := range l.lists {
		if !contains(l.lists[:i], list) {
			x.buf = (&rule{list: list}).append(x.buf)
		}
	}
	id, _, err := x.number(ctx, 2*maxMatches)
	return id, err
}

func contains(all [][]byte, one []byte) bool {
	for _, v := range all {
		if string(v) == string(one) {
			return true
		}
	}
	return false
}

// number is the row of what stands in buf, made where there is none and fewer than most.
func (x *matches) number(ctx context.Context, most uint32) (uint32, bool, error) {
	if len(x.buf) == 0 {
		return noMatch, true, nil
	}
	if id, ok := x.known[string(x.buf)]; ok {
		return id, true, nil
	}
	rules := string(x.buf)
	var id uint32
	err := x.find.QueryRowContext(ctx, rules).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		if x.last >= most {
			return noMatch, false, nil
		}
		x.last++
		id, err = x.last, nil
		x.added = append(x.added, addedMatch{id, rules})
	}
	if err != nil {
		return 0, false, fault(err)
	}
	if len(x.known) >= keptMatches && len(x.added) == 0 {
		clear(x.known)
	}
	x.known[rules] = id
	return id, true, nil
}

func (r *rule) append(dst []byte) []byte {
	for _, field := range [...][]byte{r.typ, r.name, r.list, r.family} {
		for _, c := range field {
			if c < ' ' {
				c = ' '
			}
			dst = append(dst, c)
		}
		dst = append(dst, fieldEnd)
	}
	dst[len(dst)-1] = ruleEnd
	return dst
}

// match is one indicator on one list. Of hits of a flood there may be only the families and
// lists, in a match each.
type match struct{ typ, name, list, family string }

// parseMatches is the reverse of append.
func parseMatches(rules string) (all []match) {
	for text := range strings.SplitSeq(strings.TrimSuffix(rules, string(ruleEnd)), string(ruleEnd)) {
		field := strings.SplitN(text, string(fieldEnd), 4)
		if len(field) == 4 {
			all = append(all, match{field[0], field[1], field[2], field[3]})
		}
	}
	return all
}
