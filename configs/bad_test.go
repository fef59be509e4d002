package configs

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each testdata/NAME.bad.yaml has one kind of mistake; want is each fault
// without the file's name in front.
func badFiles() map[string][]string {
	return map[string][]string{
		"allow_action": {
			`4:13: allow[0].action: found nxdomain, but a match in allow always passes; leave the action out`,
			`5:10: allow[0].ede: found a value, but a match in allow always passes; leave the key out`,
		},
		"allow_nobody": {
			`2:10: clients.allow: found no prefix, so nobody could ask, expected at least one; to serve everyone write [0.0.0.0/0, "::/0"]`,
		},
		"anchor": {
			`1:8: found an anchor (&), which is not read here; write the value out, or quote a value that begins with &`,
			`4:12: found an alias (*), which is not read here; write the value out, or quote a value that begins with *, as in "*.txt"`,
		},
		"binary": {
			`1:3: found the control character 0x03, expected text; is this another file?`,
		},
		"bom_crlf": {
			`2:10: log.level: found "loud", expected one of debug, info, warn, error`,
		},
		"bool": {
			`2:13: cache.prefetch: found "false", expected true or false, without quotes`,
		},
		"cache_memory": {
			`2:11: cache.memory: found 64, expected at least 1MiB`,
		},
		"console_open": {
			`2:11: console.listen: found [::]:8080, which other machines can reach, and nothing that says who may use it, expected console.tokens_file too; or use a loopback address, and metrics.listen for /metrics, /healthz and /readyz`,
		},
		"allow_file": {
			`3:12: allow[0].name: found "allow_file" twice, first on line 1, expected each list to have a name of its own`,
		},
		"console_access": {
			`2:11: console.listen: found 192.0.2.10:8443, which other machines can reach, and nothing that says who may use it, expected console.tokens_file too; or use a loopback address, and metrics.listen for /metrics, /healthz and /readyz`,
			`3:16: console.certificate: found a certificate without console.key, expected the PEM file of its private key too`,
			`4:14: console.client_ca: found authorities of client certificates, and nothing that says which role whose has, expected console.tokens_file too, with lines such as: alice responder certificate`,
		},
		"console_client_ca": {
			`2:8: console.key: found a key without console.certificate, expected the PEM file of its certificate too`,
			`3:14: console.client_ca: found authorities of client certificates, which are part of TLS, expected console.certificate and console.key too`,
		},
		"continued_value": {
			`3:5: found a value that runs on into the next line; check the indentation of that line, or put quotes around the value`,
		},
		"control_character": {
			`3:11: hits.journal.path: found "a\x00b" with a control character, expected one line of text`,
		},
		"directive": {
			`1:1: found a directive (%), which is not read here; leave it out, or quote a value that begins with %`,
		},
		"duplicate_key": {
			`4:3: cache.memory: stands twice, first on line 2; keep one`,
			`5:1: cache: stands twice, first on line 1; keep one`,
		},
		"duration": {
			`2:12: upstream.timeout: found 2 without a unit, expected a number with its unit, as in "500ms", "2s", "15m", "24h", "90d" or "1w"; did you mean 2s?`,
			`4:12: cache.min_ttl: found "5 minutes", expected a number with its unit, as in "500ms", "2s", "15m", "24h", "90d" or "1w"`,
			`5:12: cache.max_ttl: found "-1h", expected a duration that is not below zero`,
		},
		"encrypted_auto": {
			`2:10: sinkhole.ipv4: found auto, its default (the address that the client asked), which holds only while every listener is on loopback, and listen.quic has 0.0.0.0:853; set an address, none, or another action`,
			`2:10: sinkhole.ipv6: found auto, its default (the address that the client asked), which holds only while every listener is on loopback, and listen.quic has 0.0.0.0:853; set an address, none, or another action`,
		},
		"encrypted_certificate": {
			`2:11: listen.https[0]: found a listener with encryption, but no listen.certificate and listen.key, expected the PEM files of both`,
		},
		"encrypted_key": {
			`3:16: listen.certificate: found a certificate without listen.key, expected the PEM file of its private key too`,
		},
		"encrypted_only_key": {
			`2:8: listen.key: found a key without listen.certificate, expected the PEM file of its certificate too`,
		},
		"encrypted_twice": {
			`3:28: listen.https[1]: found 127.0.0.1:53, which listen.dns[0] has too, expected each listener on an address and port of its own`,
			`3:44: listen.https[2]: found 127.0.0.1:443, which listen.https[0] has too, expected each listener on an address and port of its own`,
			`4:10: listen.quic[0]: found 127.0.0.1:443, which listen.https[0] has too, expected each listener on an address and port of its own`,
			`8:11: metrics.listen: found 127.0.0.1:443, which listen.https[0] has too; choose another port`,
		},
		"enum": {
			`2:11: clients.refuse: found "anwser", expected one of answer, drop; did you mean "answer"?`,
			`4:12: sinkhole.explain: found "all", expected one of none, code, family, full`,
		},
		"glob_unquoted": {
			`3:13: found an alias (*), which is not read here; write the value out, or quote a value that begins with *, as in "*.txt"`,
		},
		"groups": {
			`6:5: groups[0].name: found no name, expected one, as in: name: north`,
			`7:12: groups[1].name: found "a b", expected at most 64 letters, digits, dots, dashes and underscores`,
			`7:50: groups[1].mode: found "obsrve", expected one of enforce, observe, off; did you mean "observe"?`,
			`8:28: groups[2].clients: found no client, expected at least one prefix or file of prefixes`,
			`9:12: groups[3].name: found "north" twice, first on line 8, expected each group to have a name of its own`,
			`9:49: groups[3].lists[0]: found "polce", expected the name of a list; did you mean "police"?`,
			`9:56: groups[3].lists[1]: found "own", a list of allow, which holds for every group; leave it out`,
			`9:61: groups[3].lists[2]: found "cert", expected the name of a list`,
			`10:28: groups[4].clients[0]: found "192.0.2.1/24" with bits set beyond its length, expected 192.0.2.0/24, or 192.0.2.1 for the one address, or the path of a file of them`,
			`10:42: groups[4].clients[1]: found "2001:db8::/129", expected an address or a prefix, as in "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32", or the path of a file of them`,
			`10:60: groups[4].clients[2]: found "192.0.2.300", expected an address or a prefix, as in "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32", or the path of a file of them`,
			`11:5: groups[5].clients: found no client, expected at least one prefix or file of prefixes`,
		},
		"guard": {
			`2:13: guard.protect[0]: found "public-suffix", expected one of public-suffixes, platforms; did you mean "public-suffixes"?`,
			`3:10: guard.files: found "own.txt", expected a list; write ["own.txt"]`,
			`4:10: guard.hold[0]: found "", expected a value; leave the entry out`,
			`5:17: guard.shrink_limit: found "0.5", expected a whole percentage from 0% to 100%`,
		},
		"ipv6_brackets": {
			`3:7: listen.dns[0]: found a list, expected one value; an IPv6 address needs quotes, as in "[::1]:53"`,
		},
		"journal": {
			`3:11: hits.journal.path: found no directory, expected one, as in: path: data/hits; hits are what this resolver is for`,
			`4:18: hits.journal.rotate_size: found 1KiB, expected at least 1MiB`,
			`5:19: hits.journal.rotate_every: found 0s, expected at least 60s`,
			`6:17: hits.journal.sync_every: found 0s, expected from 10ms to 60s`,
			`7:18: hits.journal.merge_above: found 0, expected at least 1`,
		},
		"identity_key": {
			`3:22: hits.identity_key_file: found a key of pseudonyms, and hits.identity truncate, which makes none: remove the key, or set identity: pseudonym`,
		},
		"identity_pseudonym": {
			`2:13: hits.identity: found pseudonym without hits.identity_key_file, expected a file of 64 hexadecimal digits, as openssl rand -hex 32 writes them`,
		},
		"journal_keep": {
			`4:11: hits.journal.keep: found hits.journal.keep 24h below hits.journal.rotate_every 2d, expected it not to be below`,
			`5:16: hits.journal.keep_size: found hits.journal.keep_size 1MiB below hits.journal.rotate_size 256MiB, expected it not to be below`,
		},
		"just_text": {
			`1:1: found "hello", expected keys such as "listen:" at the beginning of a line`,
		},
		"list_confidence": {
			`4:17: lists[0].confidence: found 101, expected a whole number from 0 to 100`,
			`5:21: lists[0].min_confidence: found -1, expected a whole number from 0 to 100`,
		},
		"list_in_list": {
			`3:7: found a list directly in a list, which no key takes; keep one "-"`,
		},
		"list_names": {
			`2:5: lists[0].name: found no name, expected one, as in: name: operation-secure`,
			`3:11: lists[1].name: found "a b", expected at most 64 letters, digits, dots, dashes and underscores`,
			`8:11: allow[0].name: found "c" twice, first on line 5, expected each list to have a name of its own`,
		},
		"list_not_a_mapping": {
			`2:5: lists[0]: found "a.txt", expected keys in it: name, source, format, match, action, ipv4, ipv6, family, confidence, min_confidence, ede, expires, refresh, auth, tsig`,
		},
		"list_secrets": {
			`4:20: lists[0].auth.header: found "X-Key" without lists[0].auth.secret_file, expected both or neither`,
			`7:25: lists[1].auth.secret_file: found "key" without lists[1].auth.header, expected both or neither`,
			`8:18: lists[1].tsig.name: found a value, but it is for an rpz:// source; leave the key out`,
			`11:20: lists[2].auth.header: found a value, but it is for an https:// source; leave the key out`,
			`12:18: lists[2].tsig.name: found "k" without lists[2].tsig.secret_file, expected both or neither`,
			`15:49: lists[3].tsig.secret_file: found "key" without lists[3].tsig.name, expected both or neither`,
			`18:20: lists[4].auth.header: found a value, but it is for an https:// source; leave the key out`,
			`19:18: lists[4].tsig.name: found a value, but it is for an rpz:// source; leave the key out`,
			`22:20: lists[5].auth.header: found "X Key:", expected the name of an HTTP header, as in Authorization or X-API-Key`,
			`25:18: lists[6].tsig.name: found "k..example": expected a domain name: labels of 1 to 63 letters, digits, hyphens and underscores, with a dot between them`,
			`25:43: lists[6].tsig.algorithm: found "hmac-md5", expected one of hmac-sha256, hmac-sha512`,
			`28:23: lists[7].tsig.algorithm: found hmac-sha512 without a key, expected lists[7].tsig.name and lists[7].tsig.secret_file too; or leave tsig out`,
		},
		"list_source": {
			`2:5: lists[0].source: found no source, expected a path or glob, as in: source: lists/operation-secure.csv`,
			`4:13: lists[1].source: found "embedded:other", expected "embedded:sample", the only embedded list`,
			`6:13: lists[2].source: found "file:///etc/list.txt", expected a path without file://; write "/etc/list.txt"`,
			`8:13: lists[3].source: found "ftp://lists.example/d", expected a path or glob, https://host/path or rpz://address:port/zone`,
			`10:13: lists[4].source: found "lists/[a-.txt", expected a path or glob; a bracket in it is not closed`,
		},
		"list_store": {
			`1:13: list_store: found no directory, but lists[1] comes over the network and its last good copy must be kept, expected one, as in: list_store: data/lists`,
		},
		"list_store_journal": {
			`1:24: hits.journal.path: found "data/lists" for list_store and for hits.journal.path, expected a directory for each`,
		},
		"list_times": {
			`2:63: lists[0].refresh: found 30s, expected at least 60s`,
			`3:76: lists[1].expires: found expires 1h below refresh 2h, expected it not to be below: the list would run out between two fetches`,
			`4:76: lists[2].expires: found expires 24h below refresh 2d, expected it not to be below: the list would run out between two fetches`,
			`5:39: lists[3].expires: found 1s, expected at least 60s, or 0s for never`,
		},
		"list_url": {
			`2:23: lists[0].source: found "http://lists.example/a.txt", expected https://: who stands between could change the list (http:// is taken with a loopback address)`,
			`3:23: lists[1].source: found "https:///b.txt" without a host, expected https://host/path`,
			`4:23: lists[2].source: found no URL (invalid port ":https" after host), expected https://host/path`,
			`5:23: lists[3].source: found "http://localhost/d.txt", expected https://: who stands between could change the list (http:// is taken with a loopback address)`,
			`6:23: lists[4].source: found a character before @, in user or password, that stands for something else in a URL; write it as % and two hexadecimal digits, expected https://host/path`,
			`8:23: allow[0].source: found "http://192.0.2.1/e.txt", expected https://: who stands between could change the list (http:// is taken with a loopback address)`,
		},
		"list_zone": {
			`2:23: lists[0].source: found "rpz://192.0.2.1", expected rpz://address:port/zone, as in "rpz://192.0.2.1:53/rpz.example", or rpzs:// for TLS`,
			`3:23: lists[1].source: found "rpz://192.0.2.1:53/", expected rpz://address:port/zone, as in "rpz://192.0.2.1:53/rpz.example", or rpzs:// for TLS`,
			`4:23: lists[2].source: found "rpz://primary.example:53/rpz.example" with the primary "primary.example:53", which is no address and port; expected rpz://address:port/zone, as in "rpz://192.0.2.1:53/rpz.example", or rpzs:// for TLS`,
			`5:23: lists[3].source: found "rpz://192.0.2.1:0/rpz.example" with port 0; expected rpz://address:port/zone, as in "rpz://192.0.2.1:53/rpz.example", or rpzs:// for TLS`,
			`6:23: lists[4].source: found "rpz://192.0.2.1:dns/rpz.example" with the primary "192.0.2.1:dns", which is no address and port; expected rpz://address:port/zone, as in "rpz://192.0.2.1:53/rpz.example", or rpzs:// for TLS`,
			`7:23: lists[5].source: found "rpz://192.0.2.1/rpz..example" with the zone "rpz..example": expected a domain name: labels of 1 to 63 letters, digits, hyphens and underscores, with a dot between them`,
			`8:23: lists[6].source: found "rpz://192.0.2.1/rpz example" with the zone "rpz example": expected a domain name: labels of 1 to 63 letters, digits, hyphens and underscores, with a dot between them`,
			`9:23: lists[7].source: found "rpz://192.0.2.1/rpz.example#primary.example" with the name of a certificate, expected rpzs:// before it, or no name`,
			`10:23: lists[8].source: found "rpzs://192.0.2.1/rpz.example#" with the certificate's name "": found 0 characters, expected a domain name of 1 to 253`,
			`11:23: lists[9].source: found "rpz://0.0.0.0/rpz.example" with 0.0.0.0, which is not the address of one server; expected rpz://address:port/zone, as in "rpz://192.0.2.1:53/rpz.example", or rpzs:// for TLS`,
			`12:71: lists[10].format: found domains, but a transferred zone is rpz; leave the key out`,
			`13:23: lists[11].source: found a user, a password or a query (@ or ?), expected rpz://address:port/zone, as in "rpz://192.0.2.1:53/rpz.example", or rpzs:// for TLS; a key goes to tsig`,
			`14:23: lists[12].source: found a user, a password or a query (@ or ?), expected rpz://address:port/zone, as in "rpz://192.0.2.1:53/rpz.example", or rpzs:// for TLS; a key goes to tsig`,
		},
		"listener": {
			`2:9: listen.dns[0]: found "127.0.0.1" without a port, expected address:port, as in "127.0.0.1:5300", "[::1]:5300" or ":53"; did you mean "127.0.0.1:53"?`,
			`2:22: listen.dns[1]: found "::1" without a port, expected address:port, as in "127.0.0.1:5300", "[::1]:5300" or ":53"; did you mean "[::1]:53"?`,
			`2:29: listen.dns[2]: found "dns.example:53", expected address:port, as in "127.0.0.1:5300", "[::1]:5300" or ":53"; a listener is given by its address, not its name`,
			`2:47: listen.dns[3]: found "127.0.0.1:dns" with port "dns", expected a port from 0 to 65535`,
			`2:64: listen.dns[4]: found "127.0.0.1:70000" with port "70000", expected a port from 0 to 65535`,
			`2:83: listen.dns[5]: found "[ff02::fb]:53", a multicast address, expected address:port, as in "127.0.0.1:5300", "[::1]:5300" or ":53"`,
			`2:100: listen.dns[6]: found "", expected a value; leave the entry out`,
		},
		"listener_twice": {
			`2:25: listen.dns[1]: found 127.0.0.1:53 twice, expected each listener once`,
		},
		"long_value": {
			`2:12: hits.webhook: found a value of 1025 characters, expected at most 1024`,
		},
		"mapping_for_list": {
			`2:3: lists: found a mapping, expected a list; begin each entry with "- "`,
		},
		"merge_key": {
			`2:3: found a merge key (<<), which is not read here; write the keys out`,
		},
		"nat64": {
			`2:11: upstream.nat64[0]: found 64:ff9b::/97, expected an IPv6 prefix of length 32, 40, 48, 56, 64 or 96 (RFC 6052)`,
			`2:27: upstream.nat64[1]: found 10.0.0.0/32, expected an IPv6 prefix of length 32, 40, 48, 56, 64 or 96 (RFC 6052)`,
			`2:40: upstream.nat64[2]: found 2001:db8:0:0:ff00::/96, expected bits 64 to 71 to be zero (RFC 6052 section 2.2)`,
		},
		"nesting": {
			`1:25: found more than 16 nested brackets; is this another file?`,
		},
		"no_listener": {
			`2:8: listen.dns: found no listener, expected at least one, as in ["127.0.0.1:5300"]`,
		},
		"no_server": {
			`2:12: upstream.servers: found no server, expected at least one, as in [system] or ["192.0.2.53"]`,
		},
		"not_a_mapping": {
			`1:1: found a list, expected keys such as "listen:" at the beginning of a line`,
		},
		"not_utf8": {
			`2:15: found the byte 0xff, expected text in UTF-8; save the file as UTF-8`,
		},
		"nothing_for_list": {
			`1:7: lists: found nothing, expected a list; write [] for an empty one, or leave the key out`,
			`4:8: listen.dns: found nothing, expected a list; write [] for an empty one, or leave the key out`,
		},
		"nothing_for_value": {
			`2:10: cache.memory: found nothing, expected a value; leave the key out for its default`,
			`3:12: cache.max_ttl: found nothing, expected a value; leave the key out for its default`,
		},
		"number": {
			`3:18: hits.journal.merge_above: found "many", expected a whole number`,
		},
		"landing": {
			`6:10: landing.http[0]: found 127.0.0.1:8080, which console.listen has too, expected each listener on an address and port of its own`,
			`7:9: landing.tls[0]: found 127.0.0.1:8053, which landing.http[1] has too, expected each listener on an address and port of its own`,
			`8:9: landing.tcp[0]: found 127.0.0.1:5300, which listen.dns[0] has too, expected each listener on an address and port of its own`,
			`9:8: landing.key: found a key without landing.certificate, expected the PEM file of its certificate too`,
		},
		"landing_certificate": {
			`2:16: landing.certificate: found a certificate without landing.key, expected the PEM file of its private key too`,
		},
		"landing_idle": {
			`2:16: landing.certificate: found a certificate, and no listener for it in landing.tls or landing.tcp, expected one`,
		},
		"pages_dns": {
			`2:11: metrics.listen: found 127.0.0.1:5300, which listen.dns has too; choose another port`,
		},
		"pages_twice": {
			`4:11: metrics.listen: found 127.0.0.1:8080, which console.listen has too; leave it at "", the console serves /metrics then`,
		},
		"percent": {
			`2:17: guard.shrink_limit: found 50 without the sign, expected a whole percentage from 0% to 100%; did you mean 50%?`,
		},
		"prefix": {
			`2:11: clients.allow[0]: found "10.0.0.0/33", expected an address or a prefix, as in "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32"`,
			`2:24: clients.allow[1]: found "10.0.0.1/8" with bits set beyond its length, expected 10.0.0.0/8, or 10.0.0.1 for the one address`,
			`2:36: clients.allow[2]: found "::ffff:10.0.0.0/104", an IPv4 prefix in IPv6 form, expected it in IPv4 form`,
			`2:59: clients.allow[3]: found "everyone", expected an address or a prefix, as in "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32"`,
		},
		"rate_limit": {
			`2:23: clients.rate_limit.burst: found 10 without clients.rate_limit.queries_per_second, expected that too`,
			`2:40: clients.rate_limit.ipv4_prefix: found 33, expected 0 to 32`,
			`2:57: clients.rate_limit.ipv6_prefix: found 129, expected 0 to 128`,
			`3:24: clients.response_rate_limit: found -1, expected 0 to 1000000`,
		},
		"reserved_character": {
			`3:11: not valid YAML: '@' is a reserved character; put quotes around the value`,
		},
		"scalar_for_list": {
			`2:8: listen.dns: found "127.0.0.1:53", expected a list; write ["127.0.0.1:53"]`,
			`3:8: lists: found "a.txt", expected a list; begin each entry with "- "`,
		},
		"scalar_for_section": {
			`1:8: cache: found "64MiB", expected keys in it: memory, min_ttl, max_ttl, negative_ttl, serve_stale, prefetch, nxdomain_cut, file`,
			`2:7: hits: found a list, expected keys in it: journal, names, geo, inventory, identity, identity_key_file, syslog, dnstap, webhook, webhook_secret_file, stream`,
		},
		"section_for_scalar": {
			`2:10: log.level: found a mapping, expected one value`,
		},
		"server": {
			`2:13: upstream.servers[0]: found "systm", expected system, IP or IP:port; a server is given by its address, not its name; did you mean "system"?`,
			`2:20: upstream.servers[1]: found "dns.example", expected system, IP or IP:port; a server is given by its address, not its name`,
			`2:33: upstream.servers[2]: found "192.0.2.53:0", expected a port from 1 to 65535`,
			`2:47: upstream.servers[3]: found "0.0.0.0", expected the address of one server`,
			`2:56: upstream.servers[4]: found "192.0.2.300", expected system, IP or IP:port, as in "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"`,
			`2:69: upstream.servers[5]: found "udp://192.0.2.53", expected system, IP, IP:port, tls://IP#name, tls://name, https://host/path, quic://IP#name or quic://name`,
			`2:87: upstream.servers[6]: found "[2001:db8::1", expected system, IP or IP:port, as in "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"`,
		},
		"server_encrypted": {
			`3:7: upstream.servers[0]: found "tls://192.0.2.300#dns.example" with the host "192.0.2.300", which is no address, expected system, IP, IP:port, tls://IP#name, tls://name, https://host/path, quic://IP#name or quic://name`,
			`4:7: upstream.servers[1]: found "tls://dns.example#other.example", expected no #name: the certificate of a server given by its name must be for that name`,
			`5:7: upstream.servers[2]: found "tls://dns.example:0", expected a port from 1 to 65535`,
			`6:7: upstream.servers[3]: found "tls://192.0.2.53#a..example" with the certificate's name "a..example": expected a domain name: labels of 1 to 63 letters, digits, hyphens and underscores, with a dot between them`,
			`7:7: upstream.servers[4]: found "tls://dns.example/path" with the host "dns.example/path": expected a domain name: labels of 1 to 63 letters, digits, hyphens and underscores, with a dot between them`,
			`8:7: upstream.servers[5]: found "tls://0.0.0.0#dns.example", expected the address of one server`,
			`9:7: upstream.servers[6]: found "quic://[2001:db8::53#dns.example" with the host "[2001:db8::53", which is no address, expected system, IP, IP:port, tls://IP#name, tls://name, https://host/path, quic://IP#name or quic://name`,
			`10:7: upstream.servers[7]: found "quic://" with the host "", which is no address, expected system, IP, IP:port, tls://IP#name, tls://name, https://host/path, quic://IP#name or quic://name`,
			`11:7: upstream.servers[8]: found "https://dns.example", expected https://host/path, as in https://dns.example/dns-query`,
			`12:7: upstream.servers[9]: found "https://dns.example/dns-query{?dns}", a template, expected https://host/path, without what is in braces`,
			`13:7: upstream.servers[10]: found a user (before @), which metrics and logs would show, expected https://host/path`,
			`14:7: upstream.servers[11]: found "https:///dns-query", expected https://host/path, as in https://dns.example/dns-query`,
			`15:7: upstream.servers[12]: found no URL (invalid URL escape "%zz"), expected https://host/path`,
			`16:7: upstream.servers[13]: found "https://dns.example/dns-query#other.example", expected no #name: the certificate of a server given by its name must be for that name`,
		},
		"bootstrap": {
			`3:15: upstream.bootstrap[0]: found tls://192.0.2.53#dns.example, expected IP or IP:port: whoever finds the address of an encrypted server is asked without encryption`,
			`3:47: upstream.bootstrap[1]: found system, expected IP or IP:port: whoever finds the address of an encrypted server is asked without encryption`,
			`3:55: upstream.bootstrap[2]: found 127.0.0.1:5300, which is this resolver's own listener 127.0.0.1:5300 (listen.dns): every query would be forwarded to itself; name another server`,
			`3:85: upstream.bootstrap[4]: found 192.0.2.53:53 twice, expected each server once`,
		},
		"server_twice": {
			`2:25: upstream.servers[1]: found 192.0.2.53:53 twice, expected each server once`,
			`2:74: upstream.servers[3]: found tls://192.0.2.53:853#DNS.example twice, expected each server once`,
		},
		"several": {
			`2:9: listen.dns[0]: found "127.0.0.1" without a port, expected address:port, as in "127.0.0.1:5300", "[::1]:5300" or ":53"; did you mean "127.0.0.1:53"?`,
			`4:11: cache.memory: found "lots", expected a size, as in "64MiB", "20GiB", "500MB" or a whole number of bytes`,
			`6:10: log.level: found "loud", expected one of debug, info, warn, error`,
		},
		"sink_auto": {
			`2:25: sinkhole.ipv4: found auto, its default (the address that the client asked), which holds only while every listener is on loopback, and listen.dns has 192.0.2.53:53; set an address, none, or another action`,
			`4:9: sinkhole.ipv6: found auto (the address that the client asked), which holds only while every listener is on loopback, and listen.dns has 192.0.2.53:53; set an address, none, or another action`,
		},
		"sink_auto_list": {
			`9:11: lists[0].ipv4: found auto (the address that the client asked), which holds only while every listener is on loopback, and listen.dns has 192.0.2.53:53; set an address, none, or another action`,
		},
		"sink_family": {
			`2:9: sinkhole.ipv4: found 2001:db8::1, expected an IPv4 address or prefix; IPv6 addresses belong to sinkhole.ipv6`,
			`3:9: sinkhole.ipv6: found 192.0.2.1, expected an IPv6 address or prefix; IPv4 addresses belong to sinkhole.ipv4`,
			`7:11: lists[0].ipv4: found 2001:db8::/64, expected an IPv4 address or prefix; IPv6 addresses belong to lists[0].ipv6`,
		},
		"sink_prefix": {
			`2:9: sinkhole.ipv4: found 192.0.2.7/32, expected one address without a length, or a prefix from /8 to /29 that each hit gets an address of its own from`,
			`3:9: sinkhole.ipv6: found 2001:db8:5::/65, expected one address without a length, or a prefix from /16 to /64: there each hit gets an address of its own that nobody can guess`,
			`7:11: lists[0].ipv4: found "192.0.2.1/24" with bits set beyond its length, expected 192.0.2.0/24, or 192.0.2.1 for the one address`,
			`8:11: lists[0].ipv6: found ::/0, expected one address without a length, or a prefix from /16 to /64: there each hit gets an address of its own that nobody can guess`,
		},
		"sink_word": {
			`2:9: sinkhole.ipv4: found "atuo", expected an address without a port, a prefix, none or auto; did you mean "auto"?`,
			`3:9: sinkhole.ipv6: found "", expected an address, a prefix, none or auto`,
		},
		"size": {
			`2:11: cache.memory: found "64M", expected a size, as in "64MiB", "20GiB", "500MB" or a whole number of bytes`,
			`5:18: hits.journal.rotate_size: found "99999999999GiB", expected less than 8 EiB`,
			`6:16: hits.journal.keep_size: found "-1", expected a size that is not below zero`,
		},
		"syntax_bracket": {
			`3:3: not valid YAML: ',' or ']' must be specified`,
		},
		"syntax_indent": {
			`2:8: found a value that runs on into the next line; check the indentation of that line, or put quotes around the value`,
		},
		"syntax_ipv6": {
			`3:12: not valid YAML: value is not allowed in this context; an IPv6 address with a port needs quotes, as in "[::1]:53"`,
		},
		"syntax_quote": {
			`2:10: not valid YAML: could not find end character of double-quoted text`,
		},
		"syntax_tab": {
			`2:1: not valid YAML: found character '\t' that cannot start any token; indent with spaces`,
		},
		"tag": {
			`2:11: found a tag (!), which is not read here; leave it out, or quote a value that begins with !`,
		},
		"text_as_number": {
			`4:13: lists[0].family: found the number 404, expected text; put it in quotes: "404"`,
		},
		"ttl_fraction": {
			`2:8: sinkhole.ttl: found 1.5s, expected whole seconds, at most 2147483647`,
		},
		"ttl_order": {
			`2:12: cache.min_ttl: found cache.min_ttl 2h above cache.max_ttl 1h, expected it not to be above`,
		},
		"two_documents": {
			`2:1: found a second document (---), expected one; keep one in the file`,
		},
		"receivers": {
			`2:11: hits.syslog: found "logs.example:514", expected udp://, tcp:// or tls:// and an address, as in "tls://logs.example:6514"`,
			`3:11: hits.dnstap: found "unix:dnstap.sock", expected unix:// or tcp:// and an address, as in "unix:///run/dnstap.sock" or "tcp://192.0.2.9:6000"`,
		},
		"rebind": {
			`2:11: upstream.rebind: found "drop", expected one of allow, strip`,
			`3:32: upstream.rebind_allow[1]: found "*.example", with the label "*", expected a domain name such as corp.example or 10.in-addr.arpa`,
		},
		"zones": {
			`3:10: upstream.zones[.]: found the zone ".", which is all there is, expected a zone such as corp.example; the servers of all else are upstream.servers`,
			`4:22: upstream.zones[corp.example.]: found "corp.example.", which is "Corp.Example" once more, expected each zone once`,
			`6:19: upstream.zones[none.example]: found no server, expected at least one, as in ["10.0.0.53"]`,
			`7:19: upstream.zones[own.example][0]: found 127.0.0.1:5300, which is this resolver's own listener 127.0.0.1:5300 (listen.dns): every query would be forwarded to itself; name another server`,
			`8:34: upstream.zones[twice.example][1]: found 10.0.0.53:53 twice, expected each server once`,
			`9:23: upstream.zones[*.wild.example]: found "*.wild.example", with the label "*", expected a domain name such as corp.example or 10.in-addr.arpa`,
			`10:23: upstream.zones[bücher.example]: found "bücher.example", with the label "bücher", expected the ASCII form, as in xn--bcher-kva.example`,
			`11:19: upstream.zones[a..example]: found "a..example", with the label "", expected labels of 1 to 63 characters with dots between them`,
			`12:20: upstream.zones[name.example][0]: found "dc1", expected system, IP or IP:port; a server is given by its address, not its name`,
		},
		"webhook": {
			`3:12: hits.webhook: found a webhook without hits.inventory, expected that too: it is told of its machines`,
		},
		"webhook_plain": {
			`2:12: hits.webhook: found http:// of a host that is not a loopback address, expected https://: it names infected machines`,
		},
		"webhook_secret": {
			`2:24: hits.webhook_secret_file: found a file without hits.webhook, expected that too`,
		},
		"webhook_user": {
			`2:12: hits.webhook: found a user in the URL, expected none: let the receiver check the signature of hits.webhook_secret_file`,
		},
		"stream": {
			`2:11: hits.stream: found "http://192.0.2.9", expected nats:// or tls:// and an address, as in "tls://nats.example:4222?ca=/etc/ssl/nats.pem&credentials=/etc/sinkhole/nats.creds"`,
		},
		"stream_credentials": {
			`2:11: hits.stream: found credentials "nats.creds", expected the whole path of a file`,
		},
		"names": {
			`3:11: hits.names[0]: found "https://ipam.example/leases", expected a file, ptr or ptr:all`,
			`3:49: hits.names[2]: found "a.csv" twice, expected each once`,
			`3:56: hits.names[3]: found ptr without hits.inventory, expected that too: the addresses of its machines are asked for`,
		},
		"inventory": {
			`2:14: hits.inventory: found an address of a server, a database server is not built yet in this version, expected a file such as data/inventory.db, or "" for none`,
		},
		"inventory_twice": {
			`3:14: hits.inventory: found "data/hits", which is hits.journal.path too, expected a file such as data/inventory.db`,
		},
		"unknown_key": {
			`2:3: hits.jurnal: unknown key; did you mean "journal"?`,
		},
		"unknown_key_dotted": {
			`1:1: hits.journal.path: unknown key; write it nested, as in hits: {journal: {path: ...}}`,
		},
		"unknown_key_elsewhere": {
			`1:1: journal: unknown key; it belongs elsewhere: hits.journal`,
			`4:3: cache.strategy: unknown key; it belongs elsewhere: upstream.strategy`,
		},
		"unknown_key_far": {
			`2:3: log.color: unknown key; expected one of level, format`,
		},
		"unknown_key_in_list": {
			`4:5: lists[0].fmt: unknown key; expected one of name, source, format, match, action, ipv4, ipv6, family, confidence, min_confidence, ede, expires, refresh, auth, tsig`,
			`5:5: lists[0].formats: unknown key; did you mean "format"?`,
		},
		"upstream_self": {
			`4:13: upstream.servers[0]: found 127.0.0.1:53, which is this resolver's own listener 127.0.0.1:53 (listen.dns): every query would be forwarded to itself; name another server`,
			`4:24: upstream.servers[1]: found 127.0.0.2:5300, which is this resolver's own listener [::]:5300 (listen.dns): every query would be forwarded to itself; name another server`,
			`4:42: upstream.servers[2]: found [::1]:5300, which is this resolver's own listener [::]:5300 (listen.dns): every query would be forwarded to itself; name another server`,
			`4:67: upstream.servers[4]: found tls://127.0.0.1:5300#dns.example, which is this resolver's own listener [::]:5300 (listen.dns): every query would be forwarded to itself; name another server`,
			`4:103: upstream.servers[5]: found https://127.0.0.1:5300/dns-query, which is this resolver's own listener [::]:5300 (listen.dns): every query would be forwarded to itself; name another server`,
		},
		"upstream_timeout": {
			`2:12: upstream.timeout: found 0s, expected from 1ms to 60s`,
		},
	}
}

func TestBadFiles(t *testing.T) {
	for name, want := range badFiles() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".bad.yaml")
			c, err := Load(path)
			if _, ok := errors.AsType[Faults](err); !ok || c != nil {
				t.Fatalf("Load gave %v and error %v, want no configuration and Faults", c, err)
			}
			got := strings.Split(err.Error(), "\n")
			for i, line := range got {
				got[i] = strings.TrimPrefix(line, path+":")
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
}

func TestBadFilesAreAllExpected(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %d bad files, error %v", len(paths), err)
	}
	files := badFiles()
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".bad.yaml")
		if files[name] == nil {
			t.Errorf("%s: no expected faults", path)
		}
	}
}
