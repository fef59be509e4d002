package hits

import (
	"testing"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir, Observer: Observer{"res1", "1.0.0"}})
	q := j.NewQueue()
	q.Record(testHit(nil))
	closeJournal(t, j)
	for _, r := range readAll(t, dir, Filter{Journal: true}) {
		t.Logf("%s", r.Raw)
	}
	t.Logf("%+v", j.Stats())
}
