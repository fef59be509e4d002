package format

import "bytes"

// readThreatFox reads ThreatFox's exports and API answers: a row for each
// indicator of compromise, of which those of type domain, url and ip:port are
// read.
func readThreatFox(in *lines, out *sink, scope Scope) error {
	f := newFeed(out, scope)
	f.column = threatFoxColumn
	f.fill = fillThreatFox
	f.layouts = []string{
		"first_seen_utc,ioc_id,ioc_value,ioc_type,threat_type,fk_malware,malware_alias,malware_printable,last_seen_utc,confidence_level,is_compromised,reference,tags,anonymous,reporter",
		"first_seen_utc,ioc_id,ioc_value,ioc_type,threat_type,fk_malware,malware_alias,malware_printable,last_seen_utc,confidence_level,reference,tags,anonymous,reporter",
	}
	return f.read(in)
}

// threatFoxColumn knows the names of the exports, and those of the API where
// they differ.
func threatFoxColumn(name []byte) (feedColumn, bool) {
	switch string(name) {
	case "ioc_value", "ioc":
		return feedValue, true
	case "ioc_type":
		return feedType, true
	case "fk_malware", "malware":
		return feedMalpedia, true
	case "malware_printable":
		return feedMalware, true
	case "first_seen_utc", "first_seen":
		return feedFirstSeen, true
	case "last_seen_utc", "last_seen":
		return feedLastSeen, true
	case "confidence_level":
		return feedConfidence, true
	case "reference":
		return feedReference, true
	case "is_compromised":
		return feedCompromised, true
	}
	return 0, false
}

func fillThreatFox(f *feed, ind *Indicator) (feedColumn, problem) {
	kind := f.cells[feedType]
	if len(kind) == 0 {
		return feedValue, malformed("a row without the type of its indicator, expected domain, url or ip:port in ioc_type")
	}
	if p := knownType(kind); p.is() {
		return feedValue, p
	}
	e, p := readTyped(f.scratch, kind, f.cells[feedValue])
	if p.is() {
		return feedValue, p
	}
	e.fill(ind, f.scope)
	ind.Doubtful = bytes.EqualFold(f.cells[feedCompromised], []byte("true")) || string(f.cells[feedCompromised]) == "1"
	if ind.Confidence, p = readConfidence(f.cells[feedConfidence]); p.is() {
		return feedConfidence, p
	}
	ind.Family = f.words.line(f.threatFoxFamily())
	if text := f.cells[feedReference]; len(text) <= maxReference {
		ind.Reference = f.words.line(text)
	}
	return f.fillTimes(ind)
}

// threatFoxFamily is the family's name, else what Malpedia files it under.
func (f *feed) threatFoxFamily() []byte {
	for _, cell := range [...][]byte{f.cells[feedMalware], f.cells[feedMalpedia]} {
		if len(cell) == 0 || len(cell) > maxWord {
			continue
		}
		if bytes.EqualFold(cell, []byte("Unknown malware")) || bytes.EqualFold(cell, []byte("unknown")) {
			return nil
		}
		return cell
	}
	return nil
}
