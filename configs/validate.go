package configs

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// maxTTL is the largest TTL that DNS can express (RFC 2181 section 8).
const maxTTL = (1<<31 - 1) * time.Second

// validate checks what single values cannot: bounds, and keys against keys. A
// key whose value could not be read is not reported again.
func (d *decoder) validate(c *Config) {
	known := *c
	v := &validator{Config: &known, decoder: d, broken: make(map[string]bool), around: make(map[string]bool)}
	for _, f := range d.faults {
		v.broken[f.Key] = true
		for key := range outward(f.Key) {
			v.around[key] = true
		}
	}
	if v.around["listen.dns"] {
		known.Listen.DNS = nil // not the defaults in place of what could not be read
	}
	v.listeners()
	v.encrypted()
	v.clients()
	v.upstreams()
	v.nat64()
	v.limits()
	v.cache()
	v.sinkhole()
	v.names()
	v.lists()
	v.listStore()
	v.groups()
	v.autoSinks()
	v.journal()
	v.inventory()
	v.receivers()
	v.hitNames()
	v.webhook()
	v.pages()
	v.landing()
}

type validator struct {
	*Config
	decoder *decoder
	broken  map[string]bool // keys that have a fault already
	around  map[string]bool // and the keys around them
}

func (v *validator) fault(key, format string, args ...any) {
	if !v.unread(key) {
		v.decoder.fault(v.source.near(key), key, format, args...)
	}
}

// unread reports whether the value of key is not what the file says, because of
// a fault in it, below it or around it.
func (v *validator) unread(key string) bool {
	if v.around[key] {
		return true
	}
	for k := range outward(key) {
		if v.broken[k] {
			return true
		}
	}
	return false
}

func (v *validator) listeners() {
	if len(v.Listen.DNS) == 0 {
		v.fault("listen.dns", `found no listener, expected at least one, as in ["127.0.0.1:5300"]`)
	}
	seen := make(map[netip.AddrPort]bool)
	for i, l := range v.Listen.DNS {
		if seen[l] && l.Port() != 0 {
			v.fault(fmt.Sprintf("listen.dns[%d]", i), "found %s twice, expected each listener once", l)
		}
		seen[l] = true
	}
}

func (v *validator) clients() {
	if len(v.Clients.Allow) == 0 {
		v.fault("clients.allow", "found no prefix, so nobody could ask, expected at least one; to serve everyone write [0.0.0.0/0, \"::/0\"]")
	}
}

func (v *validator) upstreams() {
	const longest = time.Minute
	if t := v.Upstream.Timeout; t < time.Millisecond || t > longest {
		v.fault("upstream.timeout", "found %s, expected from 1ms to %s", formatDuration(t), formatDuration(longest))
	}
	if len(v.Upstream.Servers) == 0 {
		v.fault("upstream.servers", `found no server, expected at least one, as in [system] or ["192.0.2.53"]`)
	}
	v.servers("upstream.servers", v.Upstream.Servers)
	v.servers("upstream.bootstrap", v.Upstream.Bootstrap)
	v.zones()
	v.rebindAllow()
	for i, s := range v.Upstream.Bootstrap {
		if s.Kind != ServerPlain {
			v.fault(fmt.Sprintf("upstream.bootstrap[%d]", i), "found %s, expected IP or IP:port: whoever finds the address of an encrypted server is asked without encryption", s)
		}
	}
}

// reaches reports whether a packet to addr from this machine arrives at the
// listener, as far as that can be told without the machine's own addresses.
func reaches(addr, listener netip.AddrPort) bool {
	switch {
	case addr.Port() != listener.Port():
		return false
	case addr.Addr() == listener.Addr():
		return true
	}
	l := listener.Addr()
	return l.IsUnspecified() && addr.Addr().IsLoopback() && (l.Is6() || addr.Addr().Is4())
}

func (v *validator) nat64() {
	for i, p := range v.Upstream.NAT64 {
		key := fmt.Sprintf("upstream.nat64[%d]", i)
		switch p.Bits() {
		case 32, 40, 48, 56, 64, 96:
		default:
			v.fault(key, "found %s, expected an IPv6 prefix of length 32, 40, 48, 56, 64 or 96 (RFC 6052)", p)
			continue
		}
		if !p.Addr().Is6() {
			v.fault(key, "found %s, expected an IPv6 prefix of length 32, 40, 48, 56, 64 or 96 (RFC 6052)", p)
		} else if p.Addr().As16()[8] != 0 {
			v.fault(key, "found %s, expected bits 64 to 71 to be zero (RFC 6052 section 2.2)", p)
		}
	}
}

// maxRate is the highest of rate limits: one a microsecond.
const maxRate = 1_000_000

func (v *validator) limits() {
	l := &v.Clients.RateLimit
	v.within("clients.rate_limit.queries_per_second", l.QueriesPerSecond, maxRate)
	v.within("clients.rate_limit.burst", l.Burst, maxRate)
	v.within("clients.rate_limit.ipv4_prefix", l.IPv4Prefix, 32)
	v.within("clients.rate_limit.ipv6_prefix", l.IPv6Prefix, 128)
	v.within("clients.response_rate_limit", v.Clients.ResponseRateLimit, maxRate)
	if l.QueriesPerSecond == 0 && l.Burst > 0 {
		v.fault("clients.rate_limit.burst", "found %d without clients.rate_limit.queries_per_second, expected that too", l.Burst)
	}
}

func (v *validator) within(key string, n, most int) {
	if n < 0 || n > most {
		v.fault(key, "found %d, expected 0 to %d", n, most)
	}
}

func (v *validator) cache() {
	if v.Cache.Memory < mebibyte {
		v.fault("cache.memory", "found %s, expected at least 1MiB", formatSize(v.Cache.Memory))
	}
	v.ttl("cache.min_ttl", v.Cache.MinTTL)
	v.ttl("cache.max_ttl", v.Cache.MaxTTL)
	v.ttl("cache.negative_ttl", v.Cache.NegativeTTL)
	if v.Cache.MaxTTL < time.Second {
		v.fault("cache.max_ttl", "found %s, expected at least 1s", formatDuration(v.Cache.MaxTTL))
		return
	}
	if v.Cache.MinTTL > v.Cache.MaxTTL {
		v.fault(v.statedOf("cache.min_ttl", "cache.max_ttl"), "found cache.min_ttl %s above cache.max_ttl %s, expected it not to be above",
			formatDuration(v.Cache.MinTTL), formatDuration(v.Cache.MaxTTL))
	}
}

func (v *validator) ttl(key string, d time.Duration) {
	if d%time.Second != 0 || d > maxTTL {
		v.fault(key, "found %s, expected whole seconds, at most %d", formatDuration(d), maxTTL/time.Second)
	}
}

// statedOf is the first of the keys that the file states: where a mistake
// between several keys is shown.
func (v *validator) statedOf(keys ...string) string {
	for _, key := range keys {
		if v.Stated(key) {
			return key
		}
	}
	return keys[0]
}

func (v *validator) sinkhole() {
	v.ttl("sinkhole.ttl", v.Sinkhole.TTL)
	v.sinks("sinkhole", v.Sinkhole.IPv4, v.Sinkhole.IPv6)
	for key, s := range map[string]Sink{"sinkhole.ipv4": v.Sinkhole.IPv4, "sinkhole.ipv6": v.Sinkhole.IPv6} {
		if s.Kind == SinkInherit {
			v.fault(key, `found "", expected an address, a prefix, none or auto`)
		}
	}
}

// sinks checks the families of the two addresses of the section key.
func (v *validator) sinks(key string, ipv4, ipv6 Sink) {
	v.ownSinks(key, ipv4, ipv6)
	if ipv4.Kind == SinkAddress && !ipv4.Addr.Is4() || ipv4.Kind == SinkPrefix && !ipv4.Prefix.Addr().Is4() {
		v.fault(key+".ipv4", "found %s, expected an IPv4 address or prefix; IPv6 addresses belong to %s.ipv6", ipv4, key)
	}
	if ipv6.Kind == SinkAddress && !ipv6.Addr.Is6() || ipv6.Kind == SinkPrefix && !ipv6.Prefix.Addr().Is6() {
		v.fault(key+".ipv6", "found %s, expected an IPv6 address or prefix; IPv4 addresses belong to %s.ipv4", ipv6, key)
	}
}

// ownSinks checks the size of the prefixes that hits have addresses of their own from. An
// IPv6 one has room for addresses that cannot be guessed; of an IPv4 one the first and the
// last address are not used.
func (v *validator) ownSinks(key string, ipv4, ipv6 Sink) {
	const shortest4, longest4, shortest6, longest6 = 8, 29, 16, 64
	if p := ipv4.Prefix; ipv4.Kind == SinkPrefix && p.Addr().Is4() && (p.Bits() < shortest4 || p.Bits() > longest4) {
		v.fault(key+".ipv4", "found %s, expected one address without a length, or a prefix from /%d to /%d that each hit gets an address of its own from", p, shortest4, longest4)
	}
	if p := ipv6.Prefix; ipv6.Kind == SinkPrefix && p.Addr().Is6() && (p.Bits() < shortest6 || p.Bits() > longest6) {
		v.fault(key+".ipv6", "found %s, expected one address without a length, or a prefix from /%d to /%d: there each hit gets an address of its own that nobody can guess", p, shortest6, longest6)
	}
}

// names checks that each name, of lists and allow together, is plain and is
// used once: hits, metrics and commands show it.
func (v *validator) names() {
	first := make(map[string]string)
	if v.AllowFile != "" {
		first[AllowFileList] = "allow_file"
	}
	v.eachList(func(key string, l List) {
		v.ownName(key+".name", l.Name, "list", "operation-secure", first)
	})
}

// ownName checks a name that the operator gives, the first key of each being in
// first.
func (v *validator) ownName(key, name, what, example string, first map[string]string) {
	const longest = 64
	switch {
	case name == "":
		v.fault(key, "found no name, expected one, as in: name: %s", example)
	case len(name) > longest || strings.Trim(name, plain) != "":
		v.fault(key, "found %q, expected at most %d letters, digits, dots, dashes and underscores", name, longest)
	case first[name] != "":
		line, _ := v.Position(first[name])
		v.fault(key, "found %q twice, first on line %d, expected each %s to have a name of its own", name, line, what)
	default:
		first[name] = key
	}
}

// plain is what names of lists and groups are made of.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

func (v *validator) eachList(visit func(key string, l List)) {
	for i, l := range v.Lists {
		visit(fmt.Sprintf("lists[%d]", i), l)
	}
	for i, l := range v.Allow {
		visit(fmt.Sprintf("allow[%d]", i), l)
	}
}

func (v *validator) lists() {
	v.eachList(func(key string, l List) {
		v.listSource(key+".source", l)
		v.listSecrets(key, l)
		v.listTimes(key, l)
		v.sinks(key, l.IPv4, l.IPv6)
		v.confidence(key+".confidence", l.Confidence)
		v.confidence(key+".min_confidence", l.MinConfidence)
	})
	for i, l := range v.Allow {
		key := fmt.Sprintf("allow[%d]", i)
		if l.Action != ActionUnstated && l.Action != ActionPassThru {
			v.fault(key+".action", "found %s, but a match in allow always passes; leave the action out", l.Action)
		}
		for _, unused := range []struct {
			key    string
			stated bool
		}{
			{key + ".ipv4", l.IPv4.Kind != SinkInherit},
			{key + ".ipv6", l.IPv6.Kind != SinkInherit},
			{key + ".ede", l.EDE != EDEDefault},
		} {
			if unused.stated {
				v.fault(unused.key, "found a value, but a match in allow always passes; leave the key out")
			}
		}
	}
}

// listStore checks that remote lists have a place for their copies.
func (v *validator) listStore() {
	remote := ""
	v.eachList(func(key string, l List) {
		if l.Remote() && remote == "" {
			remote = key
		}
	})
	switch {
	case v.ListStore == "" && remote != "":
		v.fault("list_store", "found no directory, but %s comes over the network and its last good copy must be kept, expected one, as in: list_store: data/lists", remote)
	case v.ListStore != "" && v.ListStore == v.Hits.Journal.Path:
		v.fault(v.statedOf("list_store", "hits.journal.path"), "found %q for list_store and for hits.journal.path, expected a directory for each", v.ListStore)
	}
}

func (v *validator) confidence(key string, n int) {
	if n < 0 || n > 100 {
		v.fault(key, "found %d, expected a whole number from 0 to 100", n)
	}
}

// autoSinks finds sinkhole addresses of auto that queries from other machines
// could get: the address that they asked says nothing about who listens there
// on ports 80 and 443.
func (v *validator) autoSinks() {
	open := v.beyondLoopback()
	if open == nil {
		return
	}
	auto := make(map[string]bool)
	inherit := func(ipv4, ipv6 Sink) {
		auto["sinkhole.ipv4"] = auto["sinkhole.ipv4"] || ipv4.Kind == SinkInherit && v.Sinkhole.IPv4.Kind == SinkAuto
		auto["sinkhole.ipv6"] = auto["sinkhole.ipv6"] || ipv6.Kind == SinkInherit && v.Sinkhole.IPv6.Kind == SinkAuto
	}
	if len(v.Lists) == 0 && v.Sinkhole.Action == ActionSinkhole {
		inherit(Sink{}, Sink{})
	}
	for n, l := range v.Lists {
		if l.Action == ActionSinkhole || l.Action == ActionUnstated && v.Sinkhole.Action == ActionSinkhole {
			inherit(l.IPv4, l.IPv6)
			auto[fmt.Sprintf("lists[%d].ipv4", n)] = l.IPv4.Kind == SinkAuto
			auto[fmt.Sprintf("lists[%d].ipv6", n)] = l.IPv6.Kind == SinkAuto
		}
	}
	for key, found := range auto {
		if !found || v.unread(key) {
			continue
		}
		at, word := v.source.near(key), "auto"
		if !v.Stated(key) {
			at, word = v.source.near(open.key), "auto, its default"
		}
		v.decoder.fault(at, key, "found %s (the address that the client asked), which holds only while every listener is on loopback, and %s has %s; set an address, none, or another action", word, strings.TrimRight(open.key, "[0123456789]"), open.addr)
	}
}

func (v *validator) journal() {
	const key = "hits.journal."
	j := v.Hits.Journal
	switch pseudonym := v.Hits.Identity == IdentityPseudonym; {
	case pseudonym && v.Hits.IdentityKeyFile == "":
		v.fault("hits.identity", "found pseudonym without hits.identity_key_file, expected a file of 64 hexadecimal digits, as openssl rand -hex 32 writes them")
	case !pseudonym && v.Hits.IdentityKeyFile != "":
		v.fault("hits.identity_key_file", "found a key of pseudonyms, and hits.identity %s, which makes none: remove the key, or set identity: pseudonym", v.Hits.Identity)
	}
	if j.Path == "" {
		v.fault(key+"path", "found no directory, expected one, as in: path: data/hits; hits are what this resolver is for")
	}
	if j.RotateSize < mebibyte {
		v.fault(key+"rotate_size", "found %s, expected at least 1MiB", formatSize(j.RotateSize))
	}
	if j.KeepSize < j.RotateSize {
		v.fault(v.statedOf(key+"keep_size", key+"rotate_size"), "found hits.journal.keep_size %s below hits.journal.rotate_size %s, expected it not to be below",
			formatSize(j.KeepSize), formatSize(j.RotateSize))
	}
	if j.RotateEvery < time.Minute {
		v.fault(key+"rotate_every", "found %s, expected at least 60s", formatDuration(j.RotateEvery))
	}
	if j.Keep < j.RotateEvery {
		v.fault(v.statedOf(key+"keep", key+"rotate_every"), "found hits.journal.keep %s below hits.journal.rotate_every %s, expected it not to be below",
			formatDuration(j.Keep), formatDuration(j.RotateEvery))
	}
	if j.SyncEvery < 10*time.Millisecond || j.SyncEvery > time.Minute {
		v.fault(key+"sync_every", "found %s, expected from 10ms to 60s", formatDuration(j.SyncEvery))
	}
	if j.MergeAbove < 1 {
		v.fault(key+"merge_above", "found %d, expected at least 1", j.MergeAbove)
	}
}

// pages checks the HTTP listeners.
func (v *validator) pages() {
	console, metrics := v.Console.Listen, v.Metrics.Listen
	v.consoleAccess()
	if console.IsValid() && console == metrics && console.Port() != 0 {
		v.fault("metrics.listen", `found %s, which console.listen has too; leave it at "", the console serves /metrics then`, metrics)
	}
	for _, l := range v.Listen.DNS {
		for key, page := range map[string]netip.AddrPort{"console.listen": console, "metrics.listen": metrics} {
			if page.IsValid() && page == l && page.Port() != 0 {
				v.fault(key, "found %s, which listen.dns has too; choose another port", page)
			}
		}
	}
}
