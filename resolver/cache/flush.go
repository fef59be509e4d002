package cache

import (
	"slices"

	"sinkhole/resolver/wire"
)

// scanStep is how many entries are looked at while a shard is locked.
const scanStep = 512

// Generation counts flushes. Who asks for what is to be kept takes it before, and
// gives it to PutSince.
func (c *Cache) Generation() uint64 { return c.flushes.Load() }

// Flush drops all entries, and says how many.
func (c *Cache) Flush() (entries int) {
	c.flushes.Add(1)
	for i := range c.shards {
		entries += c.shards[i].flush()
	}
	c.flushed.Add(uint64(entries))
	return entries
}

// FlushName drops all that is kept of a name, failures and expired answers included,
// with below also of all names below it, and says how many entries that were. The
// name is in lower-case wire form.
func (c *Cache) FlushName(name []byte, below bool) (entries int) {
	c.flushes.Add(1)
	chosen := chooser(name, below)
	for i := range c.shards {
		entries += c.shards[i].drop(chosen)
	}
	c.flushed.Add(uint64(entries))
	return entries
}

// Entries gives what is kept of a name, failures and expired answers included. They
// are shared, as those of Get are. It is no look-up.
func (c *Cache) Entries(name []byte) (found []*Entry) {
	chosen := chooser(name, false)
	for i := range c.shards {
		c.shards[i].each(func(_ uint64, at slot) {
			if chosen(at.entry) {
				found = append(found, at.entry)
			}
		})
	}
	return found
}

func chooser(name []byte, below bool) func(*Entry) bool {
	if below {
		return func(e *Entry) bool { return wire.IsSubdomain(e.name(), name) }
	}
	return func(e *Entry) bool { return string(e.name()) == string(name) }
}

// name is that of the question, in the entry's memory.
func (e *Entry) name() []byte { return e.Key[:max(len(e.Key)-afterName, 0)] }

// each visits the entries from the one that was not asked for the longest on, with the
// lock for some at a time. visit may remove what it is given.
func (s *shard) each(visit func(h uint64, at slot)) {
	s.mu.Lock()
	hashes := s.lru.Keys()
	s.mu.Unlock()
	for some := range slices.Chunk(hashes, scanStep) {
		s.mu.Lock()
		for _, h := range some {
			if at, ok := s.lru.Peek(h); ok {
				visit(h, at)
			}
		}
		s.mu.Unlock()
	}
}

// drop removes the entries that are chosen. What comes while it runs is not kept: see
// Cache.put.
func (s *shard) drop(chosen func(*Entry) bool) (entries int) {
	s.each(func(h uint64, at slot) {
		if chosen(at.entry) {
			s.lru.Remove(h)
			s.forget(h, at)
			entries++
		}
	})
	return entries
}
