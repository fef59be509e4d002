package inventory

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"sinkhole/hits"
)

// Evidence levels, as sinkhole.evidence of a landing's record has them; a hit alone is
// Queried.
const (
	Queried   = "queried"
	Connected = "connected"
	Sent      = "sent"
)

// line is what the inventory needs of a record. The texts are good until the line that they
// are of is read over.
type line struct {
	dataset     []byte
	time, last  int64 // Unix nanoseconds of the first and last hit
	address     []byte
	port        uint64   // 0: the address is one that a forwarder told
	ports       []uint64 // of a merged line
	mac         []byte
	qname       []byte
	qtype       []byte
	rules       []rule // the deciding one first
	families    [][]byte
	lists       [][]byte
	byClient    bool // hits of several indicators
	trusted     bool // mac, cpe and device are a believed forwarder's words
	cpe, device []byte
	peer, via   []byte
	proven      bool
	forwarder   bool
	expected    bool
	noise       bool
	fingerprint []byte
	evidence    []byte
	count       uint64

	morePorts  bool
	subscriber string // of the address, and port, at the time; "": not known
	shared     bool   // several subscribers have the address
}

// rule is an indicator on a list.
type rule struct{ typ, name, list, family []byte }

// read takes a line of the journal apart, into l, whose slices are used again.
func (l *line) read(text []byte) error {
	*l = line{ports: l.ports[:0], rules: l.rules[:0], families: l.families[:0], lists: l.lists[:0]}
	var deciding rule
	var stamp []byte
	s := scanner{text: text}
	if s.peek() != '{' {
		return errSyntax
	}
	s.members(func(key []byte) {
		switch string(key) {
		case "@timestamp":
			stamp = s.string()
		case "event":
			s.members(func(key []byte) {
				if string(key) == "dataset" {
					l.dataset = s.string()
				} else {
					s.skip()
				}
			})
		case "client":
			l.client(&s)
		case "dns":
			l.dns(&s)
		case "threat":
			deciding = threat(&s)
		case "sinkhole":
			s.members(func(key []byte) { l.own(&s, key) })
		default:
			s.skip()
		}
	})
	switch {
	case s.err != nil:
		return s.err
	case s.peek() != 0:
		return errSyntax
	case len(l.dataset) == 0:
		return errors.New("not a record: it lacks event.dataset")
	}
	if l.time == 0 {
		at, err := time.Parse(time.RFC3339Nano, string(stamp))
		if err != nil {
			return errors.New("not a record: it lacks @timestamp")
		}
		l.time = at.UnixNano()
	}
	l.last = max(l.last, l.time)
	if len(l.rules) == 0 && len(deciding.name) > 0 && !l.byClient {
		l.rules = append(l.rules, deciding)
	}
	if string(l.dataset) == hits.DatasetHit {
		l.count = max(l.count, 1)
	}
	return nil
}

// hasPort tells whether the client asked from a port, as far as the line names them.
func (l *line) hasPort(port uint16) bool {
	return l.port == uint64(port) || slices.Contains(l.ports, uint64(port))
}

func (l *line) client(s *scanner) {
	s.members(func(key []byte) {
		switch string(key) {
		case "ip":
			l.address = s.string()
		case "port":
			l.port = s.uint()
		case "mac":
			l.mac = s.string()
		default:
			s.skip()
		}
	})
}

func (l *line) dns(s *scanner) {
	s.members(func(key []byte) {
		if string(key) != "question" {
			s.skip()
			return
		}
		s.members(func(key []byte) {
			switch string(key) {
			case "name":
				l.qname = s.string()
			case "type":
				l.qtype = s.string()
			default:
				s.skip()
			}
		})
	})
}

// threat is the deciding indicator.
func threat(s *scanner) (r rule) {
	s.members(func(key []byte) {
		switch string(key) {
		case "indicator":
			i := indicator(s)
			r.typ, r.name = i.typ, i.name
		case "feed":
			s.members(func(key []byte) { named(s, key, &r.list) })
		case "software":
			s.members(func(key []byte) { named(s, key, &r.family) })
		default:
			s.skip()
		}
	})
	return r
}

func named(s *scanner, key []byte, name *[]byte) {
	if string(key) == "name" {
		*name = s.string()
	} else {
		s.skip()
	}
}

// own reads a member of the object sinkhole.
func (l *line) own(s *scanner, key []byte) {
	switch string(key) {
	case "time_unix_ns":
		l.time = nanoseconds(s.string())
	case "last_unix_ns":
		l.last = nanoseconds(s.string())
	case "families":
		l.families = l.families[:0]
		s.elements(func() { l.families = append(l.families, s.string()) })
	case "lists":
		l.lists = l.lists[:0]
		s.elements(func() {
			var name []byte
			s.members(func(key []byte) { named(s, key, &name) })
			l.lists = append(l.lists, name)
		})
	case "indicators":
		l.rules = l.rules[:0]
		s.elements(func() { l.rules = append(l.rules, indicator(s)) })
	case "ports":
		l.ports = l.ports[:0]
		s.elements(func() { l.ports = append(l.ports, s.uint()) })
	case "ports_truncated":
		l.morePorts = s.bool()
	case "merged":
		l.byClient = string(s.string()) == hits.MergedClient
	case "count":
		l.count = s.uint()
	case "source_proven":
		l.proven = s.bool()
	case "forwarder":
		l.forwarder = s.bool()
	case "expected":
		l.expected = s.bool()
	case "noise":
		l.noise = s.bool()
	case "fingerprint":
		l.fingerprint = s.string()
	case "evidence":
		l.evidence = s.string()
	case "peer":
		s.members(func(key []byte) {
			if string(key) == "ip" {
				l.peer = s.string()
			} else {
				s.skip()
			}
		})
	case "identity":
		s.members(func(key []byte) { l.identity(s, key) })
	default:
		s.skip()
	}
}

func (l *line) identity(s *scanner, key []byte) {
	switch string(key) {
	case "trusted":
		l.trusted = s.bool()
	case "cpe_id":
		l.cpe = s.string()
	case "device_id":
		l.device = s.string()
	case "forwarder":
		l.via = s.string()
	default:
		s.skip()
	}
}

// indicator is an element of sinkhole.indicators.
func indicator(s *scanner) (r rule) {
	s.members(func(key []byte) {
		switch string(key) {
		case "type":
			r.typ = s.string()
		case "name":
			r.name = s.string()
		case "list":
			r.list = s.string()
		case "family":
			r.family = s.string()
		default:
			s.skip()
		}
	})
	return r
}

func nanoseconds(text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
