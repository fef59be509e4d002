package resolver

import (
	"bytes"
	"slices"
	"time"

	"sinkhole/resolver/cache"
	"sinkhole/resolver/wire"
)

// Restorer returns what puts answers of before a restart into the cache, for one
// goroutine. It says whether an answer is kept. It believes nothing that it can find
// out: an answer must be one that could have been kept now, and is judged as if it had
// just come.
func (r *Resolver) Restorer() func(cache.Saved) (kept bool) {
	generation := r.cache.Generation()
	var f wire.Reply
	return func(s cache.Saved) bool {
		now := time.Now().UnixNano()
		if s.Stored < 0 || s.Stored > now || s.Expires <= s.Stored || !answersKey(s.Packed, s.Key) {
			return false
		}
		if r.zones.find(s.Key).kind == forwarded { // who has answered then is not known
			return false
		}
		if f.Parse(s.Packed) != nil || f.OPTLen != 0 || f.Strays != 0 || s.Expires-s.Stored > int64(r.lifetime(&f)) {
			return false
		}
		if name, _, _, _, _, _ := (&cache.Entry{Key: s.Key}).Question(); r.rebinding.guards(name) && slices.ContainsFunc(f.Addrs, r.rebinding.private) {
			return false
		}
		return r.cache.Restore(&cache.Entry{
			Key: s.Key, Packed: s.Packed, TTLs: f.TTLs, RCode: f.RCode, QuestionEnd: uint16(f.QuestionEnd),
			Names: f.Names, NameKinds: f.NameKinds, Addrs: r.nat64.WithEmbedded(f.Addrs),
			Stored: s.Stored, Expires: s.Expires,
		}, generation, now)
	}
}

// answersKey tells whether a reply has the question of a key, to the letter.
func answersKey(packed, key []byte) bool {
	const flags = 1
	if len(key) <= flags || key[len(key)-flags]&^cache.QueryFlags != 0 || len(packed) < wire.HeaderLen {
		return false
	}
	question := key[:len(key)-flags]
	name := wire.NameLen(question)
	return name > 0 && name+4 == len(question) && bytes.HasPrefix(packed[wire.HeaderLen:], question) &&
		packed[4] == 0 && packed[5] == 1
}
