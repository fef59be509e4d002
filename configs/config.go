// Package configs is the configuration: its schema, its defaults, strict
// loading with a position for every fault, the reference file (embedded) and
// the examples. Only cmd/sinkhole imports it; every other package takes an
// Options struct of its own.
package configs

import (
	"net/netip"
	"time"
)

// Config is the whole configuration. Each exported field is a key of the file:
// its name is in the yaml tag, its meaning, for the reference table, in the doc
// tag. An int64 is a number of bytes. A Config is not changed after loading.
type Config struct {
	Listen    Listen   `yaml:"listen"`
	Clients   Clients  `yaml:"clients"`
	Groups    []Group  `yaml:"groups" doc:"which clients have which lists, and in which mode; the first match wins, other clients have all lists"`
	Upstream  Upstream `yaml:"upstream"`
	Cache     Cache    `yaml:"cache"`
	Local     Local    `yaml:"local"`
	Sinkhole  Sinkhole `yaml:"sinkhole"`
	Lists     []List   `yaml:"lists" doc:"the threat lists; earlier ones win"`
	Allow     []List   `yaml:"allow" doc:"lists of what is never blocked, in the same form as lists (action, ipv4, ipv6 and ede have no meaning here); a match here always wins"`
	ListStore string   `yaml:"list_store" doc:"directory of what is kept of lists: last good copies, held updates, approvals; empty: nothing, then no list may come over the network"`
	AllowFile string   `yaml:"allow_file" doc:"file of the names, addresses and prefixes that were allowed in the console, a list of allow by the name allow_file; made when missing; empty: nothing can be allowed there"`
	Guard     Guard    `yaml:"guard"`
	Hits      Hits     `yaml:"hits"`
	Landing   Landing  `yaml:"landing"`
	Console   Console  `yaml:"console"`
	Metrics   Metrics  `yaml:"metrics"`
	Log       Log      `yaml:"log"`

	source source
}

// Listen is where queries come in.
type Listen struct {
	DNS               []netip.AddrPort `yaml:"dns" doc:"UDP and TCP listeners, address:port; :53 is every address of both families"`
	TLS               []netip.AddrPort `yaml:"tls" doc:"DNS over TLS listeners"`
	HTTPS             []netip.AddrPort `yaml:"https" doc:"DNS over HTTPS listeners, HTTP/2 and HTTP/3, path /dns-query"`
	QUIC              []netip.AddrPort `yaml:"quic" doc:"DNS over QUIC listeners"`
	Certificate       string           `yaml:"certificate" doc:"PEM file of the certificate for tls, https and quic; reloaded when it changes"`
	Key               string           `yaml:"key" doc:"PEM file of its private key"`
	ProxyProtocolFrom []netip.Prefix   `yaml:"proxy_protocol_from" doc:"load balancers that must send a PROXY header (v1 on TCP only, v2 on both)"`
	ShutdownDelay     time.Duration    `yaml:"shutdown_delay" doc:"how long /readyz fails before the sockets close"`
}

// Clients is who may ask.
type Clients struct {
	Allow      []netip.Prefix `yaml:"allow" doc:"addresses and prefixes that may ask"`
	Refuse     Refuse         `yaml:"refuse" doc:"what everyone else gets: answer (REFUSED) or drop"`
	Forwarders []netip.Prefix `yaml:"forwarders" doc:"resolvers that ask for others; their EDNS client identity is believed"`
	Believe    []Belief       `yaml:"believe" doc:"what is believed of them: ecs (client subnet), mac, cpe-id, umbrella; leave out what they do not set themselves, since most pass on what their clients set"`
	Expected   []netip.Prefix `yaml:"expected" doc:"mail gateways, crawlers and sandboxes that look up bad names for a living: hits marked, no machine"`
	RateLimit  RateLimit      `yaml:"rate_limit"`
	// ResponseRateLimit is against reflection.
	ResponseRateLimit int    `yaml:"response_rate_limit" doc:"alike answers a second over UDP to one client prefix (/24, /56) whose addresses may be forged; 0: no limit"`
	CookieSecretFile  string `yaml:"cookie_secret_file" doc:"file of the secrets of DNS cookies (RFC 9018), 32 hexadecimal digits a line, the same on all servers of an address: the first signs, all are believed; empty: a random one at each start"`
}

// RateLimit bounds the queries of one client prefix.
type RateLimit struct {
	QueriesPerSecond int `yaml:"queries_per_second" doc:"queries a second that one client prefix may ask; 0: no limit"`
	Burst            int `yaml:"burst" doc:"queries that it may ask at once beyond that"`
	IPv4Prefix       int `yaml:"ipv4_prefix" doc:"prefix length that counts as one IPv4 client"`
	IPv6Prefix       int `yaml:"ipv6_prefix" doc:"prefix length that counts as one IPv6 client"`
}

// Group is a set of clients with its own lists.
type Group struct {
	Name    string   `yaml:"name" doc:"name of the group"`
	Clients []string `yaml:"clients" doc:"prefixes, or files of them, one a line; at least one"`
	Lists   []string `yaml:"lists" doc:"names of the lists that hold for them; empty: all; those of allow always hold"`
	Mode    Mode     `yaml:"mode" doc:"enforce, observe (true answers, matches are recorded) or off (nothing is judged)"`
}

// Upstream is where queries are forwarded to.
type Upstream struct {
	Servers     []Server            `yaml:"servers" doc:"resolvers that answer what is not listed: system (those of /etc/resolv.conf), IP, IP:port, tls://IP[:port]#name, tls://name[:port], https://host/path, https://IP/path#name, quic as tls; the certificate is always checked, for the name, or for the IP where there is none"`
	Strategy    Strategy            `yaml:"strategy" doc:"which of the servers that answer is asked first: ordered (the first one), fastest (by how long they took of late; one query of 64 is asked of a second one too) or random"`
	Timeout     time.Duration       `yaml:"timeout" doc:"how long one server has for its answer"`
	Bootstrap   []Server            `yaml:"bootstrap" doc:"resolvers, IP or IP:port, that find the addresses of servers given by name; empty: those of /etc/resolv.conf"`
	Zones       map[string][]Server `yaml:"zones" doc:"zones that are asked of servers of their own and of no others, as in {corp.example: [10.0.0.53]}; the longest one decides, and names that are else answered here are forwarded"`
	Rebind      Rebind              `yaml:"rebind" doc:"private, loopback, link-local and shared (CGNAT) addresses in answers for public names: allow, or strip (taken out, so that no web page can reach into this network by its own name)"`
	RebindAllow []string            `yaml:"rebind_allow" doc:"zones whose names may have such addresses all the same, beside those of zones"`
	NAT64       []netip.Prefix      `yaml:"nat64" doc:"NAT64 prefixes (RFC 6052): an AAAA answer in one is judged by the IPv4 address in it too"`
}

// Cache keeps upstream answers.
type Cache struct {
	Memory      int64         `yaml:"memory" doc:"bound of the cache"`
	MinTTL      time.Duration `yaml:"min_ttl" doc:"answers are kept at least this long"`
	MaxTTL      time.Duration `yaml:"max_ttl" doc:"and at most this long"`
	NegativeTTL time.Duration `yaml:"negative_ttl" doc:"negative answers are kept at most this long (RFC 2308)"`
	ServeStale  time.Duration `yaml:"serve_stale" doc:"how long after expiry an answer may still be given when no upstream answers (RFC 8767); 0s: never"`
	Prefetch    bool          `yaml:"prefetch" doc:"ask again for popular names shortly before they expire"`
	NXDomainCut bool          `yaml:"nxdomain_cut" doc:"a name that does not exist stands for all names below it (RFC 8020); false: each is asked for"`
	File        string        `yaml:"file" doc:"file that answers are kept in over a restart, mode 0600: it tells what clients asked; empty: none"`
}

// Local is what is answered here whatever lists and upstreams say.
type Local struct {
	Bypass      []Bypass    `yaml:"bypass" doc:"doh-canary, private-relay: answered NXDOMAIN so that browsers keep asking us"`
	SingleLabel SingleLabel `yaml:"single_label" doc:"address look-ups for names of one label, as in printer: forward, or nodata (answered here, so that they leave the network no more)"`
}

// Sinkhole is what a query for a listed name gets.
type Sinkhole struct {
	Action  Action        `yaml:"action" doc:"sinkhole (an address of ours), nxdomain, nodata, refused, drop, tcp-only, passthru or log"`
	IPv4    Sink          `yaml:"ipv4" doc:"address given for A: an address, a prefix from /8 to /29 (each hit its own address from it), none (NODATA) or auto (the address that the client asked; on loopback only)"`
	IPv6    Sink          `yaml:"ipv6" doc:"address given for AAAA: an address, a prefix from /16 to /64 (each hit its own address from it), none or auto"`
	TTL     time.Duration `yaml:"ttl" doc:"TTL of the answer"`
	Explain Explain       `yaml:"explain" doc:"what the extended error (EDE, RFC 8914) tells the client: none, code, family or full"`
}

// List is one threat list, or one list of what is allowed.
type List struct {
	Name          string        `yaml:"name" doc:"name of the list, as hits and commands show it; required"`
	Source        string        `yaml:"source" doc:"path, glob, https:// URL, rpz://address:port/zone or, over TLS, rpzs://address:port/zone#name; required"`
	Format        Format        `yaml:"format" doc:"auto (by content), domains, hosts, adblock, dnsmasq, unbound, bind, dnscrypt, rpz, csv, stix, misp, threatfox, urlhaus or suricata"`
	Match         Match         `yaml:"match" doc:"subtree (the name and all below it) or exact; empty: what the notation means (exact for hosts, subtree for plain names; RPZ, wildcard and adblock say it themselves)"`
	Action        Action        `yaml:"action" doc:"action for the whole list; empty: as the entry states, else sinkhole.action"`
	IPv4          Sink          `yaml:"ipv4" doc:"sinkhole address of this list; empty: sinkhole.ipv4"`
	IPv6          Sink          `yaml:"ipv6" doc:"sinkhole address of this list; empty: sinkhole.ipv6"`
	Family        string        `yaml:"family" doc:"malware family, for lists that name none"`
	Confidence    int           `yaml:"confidence" doc:"0-100, for entries that state none; 0: unknown"`
	MinConfidence int           `yaml:"min_confidence" doc:"0-100; entries below it are left out"`
	EDE           EDE           `yaml:"ede" doc:"extended error of this list: blocked, censored, filtered or forged; empty: forged with an address, else blocked"`
	Expires       time.Duration `yaml:"expires" doc:"an indicator unseen for longer is dropped; 0s: never"`
	Refresh       time.Duration `yaml:"refresh" doc:"how often a URL is fetched, at least 60s; rpz:// follows NOTIFY and the zone's SOA"`
	Auth          Auth          `yaml:"auth"`
	TSIG          TSIG          `yaml:"tsig"`
}

// Auth is the header that a list's URL asks for.
type Auth struct {
	Header     string `yaml:"header" doc:"name of the HTTP header that carries the secret"`
	SecretFile string `yaml:"secret_file" doc:"file with the secret"`
}

// TSIG is the key of a zone transfer.
type TSIG struct {
	Name       string        `yaml:"name" doc:"name of the transfer key"`
	Algorithm  TSIGAlgorithm `yaml:"algorithm" doc:"hmac-sha256 or hmac-sha512"`
	SecretFile string        `yaml:"secret_file" doc:"file with the key in base64"`
}

// Guard keeps dangerous list entries and updates out.
type Guard struct {
	Protect     []Protect `yaml:"protect" doc:"public-suffixes, platforms: an entry that would block one of these whole is refused"`
	Files       []string  `yaml:"files" doc:"files of names and prefixes of the operator's own to protect likewise: name, *.name (entries below it are refused too), address or prefix a line; also a newer public_suffix_list.dat or a warning list of MISP (JSON)"`
	Hold        []string  `yaml:"hold" doc:"files of popular names, one a line or after its rank (17,name): such an entry waits for sinkhole lists approve"`
	ShrinkLimit Percent   `yaml:"shrink_limit" doc:"a list that lost more than this of its entries at once, or within a day of those that act, is held; 100%: only one of which nothing is left"`
	OnEmpty     OnEmpty   `yaml:"on_empty" doc:"a start without any usable list: serve or refuse"`
}

// Hits is what becomes of a hit.
type Hits struct {
	Journal   Journal  `yaml:"journal"`
	Names     []string `yaml:"names" doc:"who a client address, or a CGNAT port block, is: lease files (dnsmasq, Kea, ISC) and CSV files, told apart by content; ptr asks reverse DNS, through upstream, for the names of private addresses, ptr:all of all"`
	Geo       []string `yaml:"geo" doc:"MaxMind-format databases (.mmdb): autonomous system, country, sector; what one does not tell the next does"`
	Inventory string   `yaml:"inventory" doc:"SQLite file of the inventory of infected machines, made of the journal and made anew where it is missing; empty: none; postgres:// is not built yet"`
	Identity  Identity `yaml:"identity" doc:"what is written of a client, everywhere: full, truncate (/24, /48) or pseudonym (keyed)"`

	IdentityKeyFile string `yaml:"identity_key_file" doc:"file of the key of pseudonyms, 64 hexadecimal digits; another key makes other pseudonyms"`
	Syslog          string `yaml:"syslog" doc:"udp://, tcp:// or tls:// address of a syslog receiver (RFC 5424)"`
	Dnstap          string `yaml:"dnstap" doc:"unix:// or tcp:// address of a dnstap receiver"`
	Webhook         string `yaml:"webhook" doc:"https:// URL that is told once of each new machine, and of each whose evidence was raised; http:// of a loopback address only; empty: none"`
	WebhookSecret   string `yaml:"webhook_secret_file" doc:"file of the secret that the webhook's bodies are signed with, on one line"`
	Stream          string `yaml:"stream" doc:"nats:// or tls:// address of a JetStream server with a stream of the subjects sinkhole.>, to which each line of the journal is published; empty: none"`
}

// Journal is the append-only record of hits.
type Journal struct {
	Path        string        `yaml:"path" doc:"directory of the hit journal"`
	RotateSize  int64         `yaml:"rotate_size" doc:"a segment is closed and compressed at this size"`
	RotateEvery time.Duration `yaml:"rotate_every" doc:"and at this age"`
	Keep        time.Duration `yaml:"keep" doc:"closed segments older than this are removed"`
	KeepSize    int64         `yaml:"keep_size" doc:"the oldest are removed beyond this size in all"`
	SyncEvery   time.Duration `yaml:"sync_every" doc:"fsync interval: what a power cut can cost"`
	MergeAbove  int           `yaml:"merge_above" doc:"above this many hits a second, hits of one client, indicator, type and second become one line with a count"`

	SigningKeyFile string `yaml:"signing_key_file" doc:"Ed25519 key (PEM, PKCS #8) that signs the heads of closed segments, see hits verify; empty: chain.key in the journal's directory, made when missing"`
}

// Landing is what listens at the sinkhole address.
type Landing struct {
	HTTP        []netip.AddrPort `yaml:"http" doc:"HTTP listeners of the landing at the sinkhole address: a notice is answered, and the request recorded"`
	TLS         []netip.AddrPort `yaml:"tls" doc:"TLS listeners of the landing: SNI, ALPN and JA4 are recorded; no handshake is completed without a certificate"`
	TCP         []netip.AddrPort `yaml:"tcp" doc:"listeners for any other port: the connection and a hash of its first bytes are recorded; HTTP and TLS are known there too"`
	Notice      string           `yaml:"notice" doc:"file of the page that is answered, up to 64 KiB: HTML where its name ends so, else plain text; empty: a short one of this program"`
	Certificate string           `yaml:"certificate" doc:"PEM file of a certificate for TLS clients of the landing, who then get the notice; reloaded when it changes; empty: closed after their ClientHello"`
	Key         string           `yaml:"key" doc:"PEM file of its private key"`
	KeepPayload bool             `yaml:"keep_payload" doc:"the first 4 KiB that a client sends are kept in its record: they may hold what was stolen"`
}

// Console is the operator's HTTP server.
type Console struct {
	Listen      netip.AddrPort `yaml:"listen" doc:"address of the console: pages, API under /api/v1, and /metrics, /healthz and /readyz, which need no token; loopback only without tokens_file; empty: none"`
	TokensFile  string         `yaml:"tokens_file" doc:"file of who may use it, NAME ROLE HASH a line, as sinkhole console token prints them, and read again when it changes; empty: whoever reaches it may do all"`
	Certificate string         `yaml:"certificate" doc:"PEM file of the console's certificate; reloaded when it changes; empty: no TLS"`
	Key         string         `yaml:"key" doc:"PEM file of its private key"`
	ClientCA    string         `yaml:"client_ca" doc:"PEM file of the authorities of client certificates, in place of tokens; tokens_file has a line NAME ROLE certificate for each name in them"`
}

// Metrics is the HTTP server for monitoring.
type Metrics struct {
	Listen netip.AddrPort `yaml:"listen" doc:"address that serves /metrics, /healthz and /readyz without a token; empty: they are on the console's address"`
}

// Log is the program's own log, to stderr.
type Log struct {
	Level  LogLevel  `yaml:"level" doc:"debug, info, warn or error"`
	Format LogFormat `yaml:"format" doc:"console or json"`
}
