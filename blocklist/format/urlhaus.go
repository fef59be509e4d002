package format

import (
	"bytes"
	"strings"
)

// readURLhaus reads URLhaus' dumps and API answers: a row for each URL that
// spread malware, whether it still does or not.
func readURLhaus(in *lines, out *sink, scope Scope) error {
	f := newFeed(out, scope)
	f.column = urlhausColumn
	f.fill = fillURLhaus
	f.layouts = []string{
		"id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter",
		"id,dateadded,url,url_status,threat,tags,urlhaus_link,reporter",
	}
	return f.read(in)
}

// urlhausColumn knows the names of the dumps, and those of the API where they
// differ.
func urlhausColumn(name []byte) (feedColumn, bool) {
	switch string(name) {
	case "url":
		return feedValue, true
	case "dateadded", "date_added":
		return feedFirstSeen, true
	case "last_online":
		return feedLastSeen, true
	case "tags":
		return feedTags, true
	case "urlhaus_link", "urlhaus_reference":
		return feedReference, true
	case "blacklists": // of others, in the API's answers alone
		return feedCompromised, true
	}
	return 0, false
}

func fillURLhaus(f *feed, ind *Indicator) (feedColumn, problem) {
	e, p := readTyped(f.scratch, []byte("url"), f.cells[feedValue])
	if p.is() {
		return feedValue, p
	}
	e.fill(ind, f.scope)
	ind.Family = f.urlhausFamily()
	ind.Doubtful = bytes.Contains(f.cells[feedCompromised], []byte("abused_legit_")) // as Spamhaus' DBL says it
	// Each row has a reference of its own, so that no copy is worth keeping.
	if text := f.cells[feedReference]; len(text) <= maxReference {
		ind.Reference = strings.ToValidUTF8(string(oneLine(text)), "\uFFFD")
	}
	return f.fillTimes(ind)
}

// urlhausFamily is the family of the first tag that names one.
func (f *feed) urlhausFamily() string {
	var folded [32]byte
	for tag := range bytes.SplitSeq(f.cells[feedTags], []byte{','}) {
		if tag = trim(tag); len(tag) > len(folded) {
			continue
		}
		for i, c := range tag {
			folded[i] = lower(c)
		}
		if family := familyOfTag(folded[:len(tag)]); family != "" {
			return family
		}
	}
	return ""
}

// familyOfTag is the family that a tag of URLhaus, in lower case, names. Most
// tags name something else (elf, mips, opendir, a country), so that only those
// that are sure to be families count.
func familyOfTag(tag []byte) string { //nolint:gocyclo // a table
	switch string(tag) {
	case "agenttesla":
		return "Agent Tesla"
	case "amadey":
		return "Amadey"
	case "arkeistealer":
		return "Arkei Stealer"
	case "asyncrat":
		return "AsyncRAT"
	case "avemariarat":
		return "Ave Maria"
	case "azorult":
		return "Azorult"
	case "bashlite", "gafgyt":
		return "Bashlite"
	case "blackguard":
		return "BlackGuard"
	case "bumblebee":
		return "BumbleBee"
	case "coinminer", "coinminer.xmrig":
		return "Coinminer"
	case "cobaltstrike":
		return "Cobalt Strike"
	case "cryptbot":
		return "CryptBot"
	case "danabot":
		return "DanaBot"
	case "darkgate":
		return "DarkGate"
	case "dcrat":
		return "DCRat"
	case "dridex":
		return "Dridex"
	case "emotet", "heodo":
		return "Emotet"
	case "formbook", "xloader":
		return "Formbook"
	case "gozi", "ursnif":
		return "Gozi"
	case "guloader", "cloudeye":
		return "CloudEyE"
	case "hajime":
		return "Hajime"
	case "icedid":
		return "IcedID"
	case "latrodectus":
		return "Latrodectus"
	case "loki", "lokibot":
		return "Loki Password Stealer (PWS)"
	case "lumma", "lummastealer", "lummac2":
		return "Lumma Stealer"
	case "marsstealer":
		return "Mars Stealer"
	case "masslogger":
		return "MASS Logger"
	case "meduzastealer":
		return "Meduza Stealer"
	case "metastealer":
		return "MetaStealer"
	case "mirai":
		return "Mirai"
	case "mozi":
		return "Mozi"
	case "nanocore":
		return "Nanocore RAT"
	case "netsupportrat":
		return "NetSupportManager RAT"
	case "njrat":
		return "NjRAT"
	case "phorpiex":
		return "Phorpiex"
	case "pikabot":
		return "Pikabot"
	case "qakbot", "qbot", "quakbot":
		return "QakBot"
	case "quasarrat":
		return "Quasar RAT"
	case "raccoonstealer", "recordbreaker":
		return "Raccoon"
	case "redline", "redlinestealer":
		return "RedLine Stealer"
	case "remcosrat", "remcos":
		return "Remcos"
	case "rhadamanthys":
		return "Rhadamanthys"
	case "risepro", "riseprostealer":
		return "RisePro"
	case "smokeloader", "smoke loader":
		return "SmokeLoader"
	case "snakekeylogger":
		return "404 Keylogger"
	case "socgholish":
		return "FAKEUPDATES"
	case "stealc":
		return "Stealc"
	case "strelastealer":
		return "StrelaStealer"
	case "systembc":
		return "SystemBC"
	case "trickbot":
		return "TrickBot"
	case "vidar":
		return "Vidar"
	case "xworm":
		return "XWorm"
	}
	return ""
}
