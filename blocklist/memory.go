package blocklist

import "reflect"

// Memory is what the policy costs, in octets: what its lists say, the index and
// the filter. References that lie on disk are not in it, nor the tables of
// prefixes beyond 8 octets an entry.
func (p *Policy) Memory() int64 {
	n := int64(cap(p.index.buckets))*sizeOf[bucket]() + int64(cap(p.filter.blocks))*sizeOf[block]() +
		int64(cap(p.answers.nodes)+cap(p.clients.nodes))*sizeOf[prefixNode]()
	for i := range p.parts {
		n += p.parts[i].memory()
	}
	return n
}

func (s *segment) memory() int64 {
	n := int64(cap(s.profiles))*sizeOf[profile]() + int64(cap(s.data)) + int64(cap(s.refs.blocks))*8
	for _, c := range s.chunks {
		n += int64(cap(c))
	}
	for _, l := range s.labels {
		n += sizeOf[string]() + int64(len(l))
	}
	if s.refs.size <= spillAt {
		n += s.refs.size
	}
	return n
}

func sizeOf[T any]() int64 { return int64(reflect.TypeFor[T]().Size()) }
