package configs

// word is a string type that takes one of a closed set of words. Whether the
// empty word is taken too depends on the key: where it is the default.
type word interface{ words() []string }

// Refuse is what clients outside clients.allow get.
type Refuse string

// The ways to refuse a client.
const (
	RefuseAnswer Refuse = "answer"
	RefuseDrop   Refuse = "drop"
)

func (Refuse) words() []string { return []string{"answer", "drop"} }

// Belief is a kind of EDNS option by which forwarders tell who asks.
type Belief string

// The kinds of options.
const (
	BeliefECS      Belief = "ecs"
	BeliefMAC      Belief = "mac"
	BeliefCPE      Belief = "cpe-id"
	BeliefUmbrella Belief = "umbrella"
)

func (Belief) words() []string { return []string{"ecs", "mac", "cpe-id", "umbrella"} }

// Mode is how far lists act on a group of clients.
type Mode string

// The modes of a group.
const (
	ModeEnforce Mode = "enforce"
	ModeObserve Mode = "observe"
	ModeOff     Mode = "off"
)

func (Mode) words() []string { return []string{"enforce", "observe", "off"} }

// Strategy is the order in which upstream servers are asked.
type Strategy string

// The upstream strategies.
const (
	StrategyOrdered Strategy = "ordered"
	StrategyFastest Strategy = "fastest"
	StrategyRandom  Strategy = "random"
)

func (Strategy) words() []string { return []string{"ordered", "fastest", "random"} }

// Rebind is what becomes of private addresses in answers for public names.
type Rebind string

// The rebinding policies.
const (
	RebindAllow Rebind = "allow"
	RebindStrip Rebind = "strip"
)

func (Rebind) words() []string { return []string{"allow", "strip"} }

// Bypass is a set of names by which browsers decide to ask another resolver.
type Bypass string

// The bypass sets.
const (
	BypassDoHCanary    Bypass = "doh-canary"
	BypassPrivateRelay Bypass = "private-relay"
)

func (Bypass) words() []string { return []string{"doh-canary", "private-relay"} }

// SingleLabel is what becomes of address look-ups for names of one label.
type SingleLabel string

// The ways to treat names of one label.
const (
	SingleLabelForward SingleLabel = "forward"
	SingleLabelNoData  SingleLabel = "nodata"
)

func (SingleLabel) words() []string { return []string{"forward", "nodata"} }

// Action is what a query that matches a list gets; the RPZ actions keep their
// RPZ names. Empty, for a list: as its entries state.
type Action string

// The actions.
const (
	ActionUnstated Action = ""
	ActionSinkhole Action = "sinkhole"
	ActionNXDomain Action = "nxdomain"
	ActionNoData   Action = "nodata"
	ActionRefused  Action = "refused"
	ActionDrop     Action = "drop"
	ActionTCPOnly  Action = "tcp-only"
	ActionPassThru Action = "passthru"
	ActionLog      Action = "log"
)

func (Action) words() []string {
	return []string{"sinkhole", "nxdomain", "nodata", "refused", "drop", "tcp-only", "passthru", "log"}
}

// Explain is how much the extended DNS error tells the client.
type Explain string

// The degrees of explanation.
const (
	ExplainNone   Explain = "none"
	ExplainCode   Explain = "code"
	ExplainFamily Explain = "family"
	ExplainFull   Explain = "full"
)

func (Explain) words() []string { return []string{"none", "code", "family", "full"} }

// Format is the notation of a list.
type Format string

// The list formats.
const (
	FormatAuto      Format = "auto"
	FormatDomains   Format = "domains"
	FormatHosts     Format = "hosts"
	FormatAdblock   Format = "adblock"
	FormatDnsmasq   Format = "dnsmasq"
	FormatUnbound   Format = "unbound"
	FormatBIND      Format = "bind"
	FormatDNSCrypt  Format = "dnscrypt"
	FormatRPZ       Format = "rpz"
	FormatCSV       Format = "csv"
	FormatSTIX      Format = "stix"
	FormatMISP      Format = "misp"
	FormatThreatFox Format = "threatfox"
	FormatURLhaus   Format = "urlhaus"
	FormatSuricata  Format = "suricata"
)

func (Format) words() []string {
	return []string{
		"auto", "domains", "hosts", "adblock", "dnsmasq", "unbound", "bind",
		"dnscrypt", "rpz", "csv", "stix", "misp", "threatfox", "urlhaus", "suricata",
	}
}

// Match is which names an entry of a list covers. Empty: what its notation
// means.
type Match string

// The ways to match.
const (
	MatchNotation Match = ""
	MatchSubtree  Match = "subtree"
	MatchExact    Match = "exact"
)

func (Match) words() []string { return []string{"subtree", "exact"} }

// EDE is the extended DNS error (RFC 8914) of a list. Empty: forged with an
// address, else blocked.
type EDE string

// The extended errors, with their codes.
const (
	EDEDefault  EDE = ""
	EDEForged   EDE = "forged"   // 4
	EDEBlocked  EDE = "blocked"  // 15
	EDECensored EDE = "censored" // 16
	EDEFiltered EDE = "filtered" // 17
)

func (EDE) words() []string { return []string{"blocked", "censored", "filtered", "forged"} }

// TSIGAlgorithm is the algorithm of a transfer key.
type TSIGAlgorithm string

// The transfer key algorithms.
const (
	TSIGSHA256 TSIGAlgorithm = "hmac-sha256"
	TSIGSHA512 TSIGAlgorithm = "hmac-sha512"
)

func (TSIGAlgorithm) words() []string { return []string{"hmac-sha256", "hmac-sha512"} }

// Protect is a set of names that no list may block whole.
type Protect string

// The protected sets.
const (
	ProtectPublicSuffixes Protect = "public-suffixes"
	ProtectPlatforms      Protect = "platforms"
)

func (Protect) words() []string { return []string{"public-suffixes", "platforms"} }

// OnEmpty is what a start without any usable list does.
type OnEmpty string

// The ways to start without lists.
const (
	OnEmptyServe  OnEmpty = "serve"
	OnEmptyRefuse OnEmpty = "refuse"
)

func (OnEmpty) words() []string { return []string{"serve", "refuse"} }

// Identity is what is written of a client.
type Identity string

// The forms of a client's identity.
const (
	IdentityFull      Identity = "full"
	IdentityTruncate  Identity = "truncate"
	IdentityPseudonym Identity = "pseudonym"
)

func (Identity) words() []string { return []string{"full", "truncate", "pseudonym"} }

// LogLevel is the lowest level that is logged.
type LogLevel string

// The log levels.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

func (LogLevel) words() []string { return []string{"debug", "info", "warn", "error"} }

// LogFormat is the form of a log line.
type LogFormat string

// The log formats.
const (
	LogConsole LogFormat = "console"
	LogJSON    LogFormat = "json"
)

func (LogFormat) words() []string { return []string{"console", "json"} }
