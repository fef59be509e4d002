package hits

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Datasets of the journal's lines (event.dataset).
const (
	DatasetHit     = "sinkhole.hit"
	DatasetLanding = "sinkhole.landing" // a connection to the sinkhole address
	DatasetJournal = "sinkhole.journal" // the journal's own: start, stop, lost
)

// Record is one line of the journal. The table in DESIGN.md says what its
// fields mean.
type Record struct {
	Time     time.Time      `json:"@timestamp"`
	Event    RecordEvent    `json:"event"`
	Client   Endpoint       `json:"client"`
	Server   RecordServer   `json:"server"`
	Observer Observer       `json:"observer"`
	Network  RecordNetwork  `json:"network"`
	DNS      RecordDNS      `json:"dns"`
	Threat   RecordThreat   `json:"threat"`
	User     RecordUser     `json:"user"` // of audit records
	Sinkhole RecordSinkhole `json:"sinkhole"`
	RecordConnection

	Raw  []byte `json:"-"` // the line as it stands in the journal, without its line end
	File string `json:"-"` // the segment's path
	Line int    `json:"-"` // of the segment, from 1
}

// RecordEvent is the event object.
type RecordEvent struct {
	Kind     string    `json:"kind"`
	Category []string  `json:"category"`
	Type     []string  `json:"type"`
	Action   string    `json:"action"`
	Outcome  string    `json:"outcome"`
	ID       string    `json:"id"`
	Sequence uint64    `json:"sequence"`
	Dataset  string    `json:"dataset"`
	Reason   string    `json:"reason"` // of audit records
	Start    time.Time `json:"start"`  // of a merged line: the first hit
	End      time.Time `json:"end"`    // of a merged line: the last hit
}

// RecordUser is who did what an audit record tells.
type RecordUser struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
}

// Endpoint is who asked. The port is 0 where a forwarder told the address.
type Endpoint struct {
	IP   netip.Addr `json:"ip"`
	Port uint16     `json:"port"`
	MAC  string     `json:"mac"` // 00-00-5E-00-53-23; "": not known
}

// RecordServer is the address that was asked.
type RecordServer struct {
	IP   netip.Addr `json:"ip"`
	Port uint16     `json:"port"`
}

// Observer is the resolver that saw the query.
type Observer struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// RecordNetwork is the network object.
type RecordNetwork struct {
	Transport string `json:"transport"`
	Protocol  string `json:"protocol"`
	Type      string `json:"type"`
}

// RecordDNS is the dns object.
type RecordDNS struct {
	ID           string         `json:"id"`
	Question     RecordQuestion `json:"question"`
	ResponseCode string         `json:"response_code"`
	HeaderFlags  []string       `json:"header_flags"`
	ResolvedIP   []netip.Addr   `json:"resolved_ip"`
}

// RecordQuestion is the dns.question object.
type RecordQuestion struct {
	Name             string `json:"name"`
	Type             string `json:"type"`
	Class            string `json:"class"`
	RegisteredDomain string `json:"registered_domain"`
}

// RecordThreat is the threat object: the deciding indicator.
type RecordThreat struct {
	Indicator struct {
		Type       string    `json:"type"`
		Name       string    `json:"name"`
		Confidence string    `json:"confidence"` // None, Low, Medium, High
		FirstSeen  time.Time `json:"first_seen"`
		LastSeen   time.Time `json:"last_seen"`
		Provider   string    `json:"provider"`
		Reference  string    `json:"reference"`
		Marking    struct {
			TLP string `json:"tlp"`
		} `json:"marking"`
	} `json:"indicator"`
	Feed struct {
		Name string `json:"name"`
	} `json:"feed"`
	Software struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"software"`
}

// RecordSinkhole is the sinkhole object: what ECS has no field for.
type RecordSinkhole struct {
	TimeUnixNS   string            `json:"time_unix_ns"`
	Transport    string            `json:"transport"`
	Trigger      string            `json:"trigger"`
	Scope        string            `json:"scope"`
	Value        string            `json:"value"`
	Chain        []string          `json:"chain"`
	Families     []string          `json:"families"`
	Lists        []RecordList      `json:"lists"`
	Indicators   []RecordIndicator `json:"indicators"`
	MoreRules    int               `json:"more_rules"`
	Confidence   *int              `json:"confidence"`
	Expires      time.Time         `json:"expires"`
	Address      netip.Addr        `json:"address"`
	TTL          *uint32           `json:"ttl"` // nil: nothing synthesized was answered
	SourceProven bool              `json:"source_proven"`
	Peer         RecordPeer        `json:"peer"`
	Identity     RecordIdentity    `json:"identity"`
	ECS          RecordECS         `json:"ecs"`
	Forwarder    bool              `json:"forwarder"` // client.ip is a forwarder's, and who asked it is not known
	Expected     bool              `json:"expected"`
	Fingerprint  string            `json:"fingerprint"`
	Mode         string            `json:"mode"`
	Group        string            `json:"group"` // of the client; "": in none
	Count        uint64            `json:"count"`

	RecordLanding

	Merged             string   `json:"merged"` // "", MergedIndicator or MergedClient
	LastUnixNS         string   `json:"last_unix_ns"`
	Ports              []uint16 `json:"ports"`
	PortsTruncated     bool     `json:"ports_truncated"`
	IndicatorsDistinct int      `json:"indicators_distinct"`
	IndicatorsAtLeast  bool     `json:"indicators_at_least"`

	Object string `json:"object"` // of audit records: what something was done to

	// Of the journal's own records.
	Lost            uint64      `json:"lost"`
	LostConnections uint64      `json:"lost_connections"`
	PreviousStop    string      `json:"previous_stop"`
	TornBytes       int64       `json:"torn_bytes"`
	Journal         *Accounting `json:"journal"`
}

// RecordList says where a matched indicator stands.
type RecordList struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

// RecordIndicator is one of several matched indicators.
type RecordIndicator struct {
	Type       string    `json:"type"`
	Name       string    `json:"name"`
	Scope      string    `json:"scope"`
	Action     string    `json:"action"`
	List       string    `json:"list"`
	Line       int       `json:"line"`
	Family     string    `json:"family"`
	Confidence *int      `json:"confidence"`
	Reference  string    `json:"reference"`
	TLP        string    `json:"tlp"`
	FirstSeen  time.Time `json:"first_seen"`
	LastSeen   time.Time `json:"last_seen"`
	Expires    time.Time `json:"expires"`
}

// RecordPeer is the socket's other end.
type RecordPeer struct {
	IP    netip.Addr `json:"ip"`
	Port  uint16     `json:"port"`
	Proxy string     `json:"proxy"`
}

// RecordIdentity is what EDNS options say of who asks. Of those that are not
// believed only the first one's code is kept.
type RecordIdentity struct {
	Trusted   bool       `json:"trusted"`
	Source    string     `json:"source"` // edns65001; "": nobody said anything
	CPE       string     `json:"cpe_id"`
	Device    string     `json:"device_id"`
	Org       uint32     `json:"org_id"`
	Asset     uint32     `json:"asset_id"`
	Forwarder netip.Addr `json:"forwarder"` // who said so, where that is not the peer
}

// RecordECS is the client subnet that a believed forwarder sent.
type RecordECS struct {
	Subnet       netip.Prefix `json:"subnet"`
	SourcePrefix int          `json:"source_prefix"`
}

// Accounting is what the stop and lost records say: [Stats] in short.
type Accounting struct {
	Verdicts      uint64 `json:"verdicts"`
	Journaled     uint64 `json:"journaled"`
	Queued        uint64 `json:"queued"`
	Lost          uint64 `json:"lost"`
	LostQueueFull uint64 `json:"lost_queue_full"`
	LostClosed    uint64 `json:"lost_closed"`
	LostClients   uint64 `json:"lost_clients"`
	LostWrite     uint64 `json:"lost_write"`

	Connections          uint64 `json:"connections"`
	ConnectionsJournaled uint64 `json:"connections_journaled"`
	ConnectionsQueued    uint64 `json:"connections_queued"`
	ConnectionsLost      uint64 `json:"connections_lost"`
}

// What a merged line stands for (sinkhole.merged).
const (
	// MergedIndicator is hits of one client, deciding rule, type, action and
	// second.
	MergedIndicator = "indicator"
	// MergedClient is hits of one client and second.
	MergedClient = "client"
)

// End is the time of the last hit that the record stands for.
func (r *Record) End() time.Time {
	if r.Event.End.After(r.Time) {
		return r.Event.End
	}
	return r.Time
}

// HasPort reports whether the client asked from port, in one of the hits that
// the record stands for as far as it names them.
func (r *Record) HasPort(port uint16) bool {
	return r.Client.Port == port || slices.Contains(r.Sinkhole.Ports, port)
}

// HasFamily reports whether one of the matched indicators names family, in any
// case.
func (r *Record) HasFamily(family string) bool {
	return slices.ContainsFunc(r.Sinkhole.Families, func(f string) bool { return strings.EqualFold(f, family) })
}

// HasList reports whether one of the matched indicators is of list.
func (r *Record) HasList(list string) bool {
	return slices.ContainsFunc(r.Sinkhole.Lists, func(l RecordList) bool { return l.Name == list })
}
