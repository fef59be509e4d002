package resolver

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/resolver/cache"
	"sinkhole/resolver/wire"
)

// kept are the answers that a file of the rig's cache has.
func kept(t testing.TB, k *rig) (all []cache.Saved) {
	t.Helper()
	f := cache.File{Path: filepath.Join(t.TempDir(), "cache")}
	_, err := f.Save(t.Context(), k.cache, 0)
	check(t, err)
	check(t, f.Load(func(s cache.Saved) bool {
		s.Key, s.Packed = slices.Clone(s.Key), slices.Clone(s.Packed)
		all = append(all, s)
		return true
	}))
	return all
}

// What one server has kept another answers from: answers as they were, older by the
// time that has passed, stale ones only in place of a failure, and all of it judged.
func TestRestore(t *testing.T) {
	t.Parallel()
	before, _ := staleRig(t, time.Hour, "good.example. 600 A 192.0.2.1", "good.example. 600 A 192.0.2.2")
	askNow(t, before, "good.example.")
	before.forward = answering(nil, "evil.example. 600 A 198.51.100.7")
	askNow(t, before, "evil.example.")
	before.forward = answering(nxdomain, deniedSOA)
	askNow(t, before, "gone.example.")
	before.forward = answering(nil, "old.example. 600 A 192.0.2.3")
	askNow(t, before, "old.example.")
	end(t, before, "old.example.", false, time.Minute)
	before.forward = answering(func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })
	askNow(t, before, "failed.example.")

	k, f := staleRig(t, time.Hour)
	f.failing.Store(true)
	restore, n := k.Restorer(), 0
	for _, s := range kept(t, before) {
		if restore(s) {
			n++
		}
	}
	if n != 4 || k.cache.Len() != 4 {
		t.Errorf("%d restored, %d entries, expected 4", n, k.cache.Len())
	}
	for _, name := range []string{"good.example.", "evil.example.", "gone.example.", "www.gone.example."} {
		ours, _ := askNow(t, k, name)
		theirs, _ := askNow(t, before, name)
		if ours.String() != theirs.String() {
			t.Errorf("%v\nbefore:\n%v", ours, theirs)
		}
	}
	if f.asked.Load() != 0 {
		t.Errorf("asked %d times", f.asked.Load())
	}
	if _, ede := askNow(t, k, "old.example."); ede != dns.ExtendedErrorCodeStaleAnswer || f.asked.Load() != 1 {
		t.Errorf("EDE %d, asked %d times: expected a stale answer after a failure", ede, f.asked.Load())
	}
	if m, _ := askNow(t, k, "failed.example."); m.Rcode != dns.RcodeServerFailure || f.asked.Load() != 2 {
		t.Errorf("asked %d times: expected that no failure is restored", f.asked.Load())
	}
}

// Nothing of what a file says is believed.
func TestRestoreBelievesNothing(t *testing.T) {
	t.Parallel()
	before := newRig(t, rigOptions{forward: answering(nil, "good.example. 600 A 192.0.2.1")})
	respondAt(t, before, "good.example.", time.Now())
	good := kept(t, before)[0]
	hour := int64(time.Hour)
	for what, edit := range map[string]func(s *cache.Saved){
		"of the future":         func(s *cache.Saved) { s.Stored += hour; s.Expires += hour },
		"longer than its TTL":   func(s *cache.Saved) { s.Expires += 1 },
		"ended before it began": func(s *cache.Saved) { s.Expires = s.Stored },
		"over":                  func(s *cache.Saved) { s.Stored -= hour; s.Expires -= hour },
		"beyond all bounds":     func(s *cache.Saved) { s.Stored, s.Expires = -1<<63, 1<<63-1 },
		"of another name":       func(s *cache.Saved) { s.Key[1] = 'f' },
		"of another type":       func(s *cache.Saved) { s.Key[len(s.Key)-4] = 28 },
		"a failure":             func(s *cache.Saved) { s.Key[len(s.Key)-1] |= 0x80 },
		"without a key":         func(s *cache.Saved) { s.Key = nil },
		"a key without its end": func(s *cache.Saved) { s.Key = []byte("\x04goo\x00") },
		"with a short key":      func(s *cache.Saved) { s.Key = s.Key[:5] },
		"without a message":     func(s *cache.Saved) { s.Packed = nil },
		"cut short":             func(s *cache.Saved) { s.Packed = s.Packed[:len(s.Packed)-1] },
		"truncated":             func(s *cache.Saved) { wire.SetFlags(s.Packed, wire.Flags(s.Packed)|wire.TC) },
		"REFUSED":               func(s *cache.Saved) { wire.SetFlags(s.Packed, wire.Flags(s.Packed)|wire.RCodeRefused) },
		"NXDOMAIN without SOA":  func(s *cache.Saved) { wire.SetFlags(s.Packed, wire.Flags(s.Packed)|wire.RCodeNXDomain) },
		"a query":               func(s *cache.Saved) { wire.SetFlags(s.Packed, wire.Flags(s.Packed)&^wire.QR) },
		"of two questions":      func(s *cache.Saved) { s.Packed[5] = 2 },
		"of no question":        func(s *cache.Saved) { s.Packed[5] = 0 },
	} {
		k := newRig(t, rigOptions{})
		s := cache.Saved{Key: bytes.Clone(good.Key), Packed: bytes.Clone(good.Packed), Stored: good.Stored, Expires: good.Expires}
		restore := k.Restorer()
		edit(&s)
		if restore(s) || k.cache.Len() != 0 {
			t.Errorf("%s: restored", what)
		}
		if !restore(good) {
			t.Errorf("%s: and after it a good one is not", what)
		}
		k.cache.Flush()
		if restore(good) {
			t.Errorf("%s: restored after a flush", what)
		}
		k.stop()
	}
}

// FuzzRestore: whatever a file says, what is made of it is an answer to its question,
// which the library reads.
func FuzzRestore(f *testing.F) {
	before := newRig(f, rigOptions{forward: answering(nil, "good.example. 600 A 192.0.2.1")})
	respondAt(f, before, "good.example.", time.Now())
	before.forward = answering(nxdomain, deniedSOA)
	respondAt(f, before, "gone.example.", time.Now())
	for _, s := range kept(f, before) {
		f.Add(s.Key, s.Packed, s.Expires-s.Stored)
	}
	k := newRig(f, rigOptions{forward: before.forward})
	k.forward = nil
	f.Fuzz(func(t *testing.T, key, packed []byte, life int64) {
		now := time.Now()
		s := cache.Saved{Key: key, Packed: packed, Stored: now.UnixNano() - 1, Expires: now.UnixNano() - 1 + life}
		if !k.Restorer()(s) {
			return
		}
		defer k.cache.Flush()
		q := newRequest(t, k, "good.example.", dns.TypeA, now)
		if !q.SetName(key[:len(key)-5]) {
			t.Fatalf("the key %x has no name", key)
		}
		if string(q.QName()) != string(q.SpelledName()) {
			return // nobody asks with such a key
		}
		q.Type, q.Class = uint16(key[len(key)-5])<<8|uint16(key[len(key)-4]), uint16(key[len(key)-3])<<8|uint16(key[len(key)-2])
		q.DO, q.CD, q.EDNS = key[len(key)-1]&1 != 0, key[len(key)-1]&2 != 0, true
		if answered := k.respond(q, nil); answered != nil {
			var m dns.Msg
			if err := m.Unpack(answered); err != nil {
				t.Fatalf("%v: %x", err, answered)
			}
			if len(m.Question) != 1 || m.Id != q.ID {
				t.Fatalf("%v", &m)
			}
		}
	})
}

// What another server may have said by another configuration is asked for anew: names of
// zones with servers of their own, and private addresses.
func TestRestoreUnderAnotherConfiguration(t *testing.T) {
	t.Parallel()
	before, _ := staleRig(t, time.Hour, "www.corp.example. 600 A 192.0.2.1", "home.example. 600 A 10.0.0.1", "allowed.example. 600 A 10.0.0.1", "good.example. 600 A 192.0.2.1")
	names := []string{"www.corp.example.", "home.example.", "allowed.example.", "good.example."}
	for _, name := range names {
		askNow(t, before, name)
	}
	k := newRig(t, rigOptions{zones: map[string][]string{"corp.example": {"127.0.0.254:1"}}, rebind: Rebind{Strip: true, Allowed: []string{"allowed.example"}}})
	restore := k.Restorer()
	var restored []string
	for _, s := range kept(t, before) {
		if restore(s) {
			restored = append(restored, string(s.Key[1:5]))
		}
	}
	slices.Sort(restored)
	if !slices.Equal(restored, []string{"allo", "good"}) {
		t.Errorf("restored %q", restored)
	}
}
