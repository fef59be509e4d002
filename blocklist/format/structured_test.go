package format

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// structuredKinds are the samples of structured feeds.
var structuredKinds = []struct {
	name string
	kind Kind
}{
	{"threatfox.csv", ThreatFox}, {"threatfox.json", ThreatFox}, {"urlhaus.csv", URLhaus}, {"urlhaus.json", URLhaus},
	{"stix", STIX}, {"stix minified", STIX}, {"misp", MISP},
}

// structured writes a feed of n entries as its makers do.
func structured(w io.Writer, name string, n int) {
	switch name {
	case "threatfox.csv":
		io.WriteString(w, "################\n# ThreatFox IOCs\n#\n"+
			"# \"first_seen_utc\",\"ioc_id\",\"ioc_value\",\"ioc_type\",\"threat_type\",\"fk_malware\",\"malware_alias\",\"malware_printable\",\"last_seen_utc\",\"confidence_level\",\"is_compromised\",\"reference\",\"tags\",\"anonymous\",\"reporter\"\r\n")
		for i := range n {
			fmt.Fprintf(w, "\"2026-01-02 03:04:05\", \"%d\", \"host-%d.bad%d.example\", \"domain\", \"botnet_cc\", \"win.lumma\", \"LummaC2 Stealer\", \"Lumma Stealer\", \"\", \"75\", \"False\", \"https://ref.example/%d\", \"c2,lumma\", \"0\", \"reporter\"\r\n", 1000000+i, i, i%1000, i%1000)
		}
	case "threatfox.json":
		io.WriteString(w, "{\n")
		for i := range n {
			comma := ","
			if i == n-1 {
				comma = ""
			}
			fmt.Fprintf(w, `    "%d": [
        {
            "ioc_value": "host-%d.bad%d.example",
            "ioc_type": "domain",
            "threat_type": "botnet_cc",
            "malware": "win.lumma",
            "malware_alias": "LummaC2 Stealer",
            "malware_printable": "Lumma Stealer",
            "first_seen_utc": "2026-01-02 03:04:05",
            "last_seen_utc": null,
            "confidence_level": 75,
            "is_compromised": false,
            "reference": "https:\/\/ref.example\/%d",
            "tags": "c2,lumma",
            "anonymous": "0",
            "reporter": "reporter"
        }
    ]%s
`, 1000000+i, i, i%1000, i%1000, comma)
		}
		io.WriteString(w, "}")
	case "urlhaus.csv":
		io.WriteString(w, "################\r\n# abuse.ch URLhaus Database Dump (CSV) #\r\n################\r\n#\r\n# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\r\n")
		for i := range n {
			fmt.Fprintf(w, "\"%d\",\"2026-01-02 03:04:05\",\"http://host-%d.bad%d.example/i/bins.sh\",\"online\",\"2026-01-03 03:04:05\",\"malware_download\",\"32-bit,elf,mips,Mozi\",\"https://urlhaus.example/url/%d/\",\"reporter\"\r\n", 3000000+i, i, i%1000, 3000000+i)
		}
	case "urlhaus.json":
		io.WriteString(w, "{")
		for i := range n {
			comma := ","
			if i == n-1 {
				comma = ""
			}
			fmt.Fprintf(w, `"%d":[{"dateadded":"2026-01-02 03:04:05 UTC","url":"http:\/\/host-%d.bad%d.example\/i\/bins.sh","url_status":"online","last_online":null,"threat":"malware_download","tags":["32-bit","elf","Mozi"],"urlhaus_link":"https:\/\/urlhaus.example\/url\/%d\/","reporter":"reporter"}]%s`, 3000000+i, i, i%1000, 3000000+i, comma)
		}
		io.WriteString(w, "}\n")
	case "stix", "stix minified":
		indent, end := "\n            ", "\n        "
		if name == "stix minified" {
			indent, end = "", ""
		}
		fmt.Fprintf(w, `{%s"type": "bundle",%[1]s"id": "bundle--00000000-0000-4000-8000-000000000000",%[1]s"objects": [%[1]s`, indent)
		for i := range n {
			fmt.Fprintf(w, `{%[1]s"type": "indicator",%[1]s"spec_version": "2.1",%[1]s"id": "indicator--00000000-0000-4000-8000-%012[3]d",%[1]s"created": "2026-01-02T03:04:05.123456Z",%[1]s"modified": "2026-01-02T03:04:05.123456Z",%[1]s"indicator_types": [%[1]s    "malicious-activity"%[1]s],%[1]s"pattern": "[domain-name:value='host-%[3]d.bad%[4]d.example']",%[1]s"pattern_type": "stix",%[1]s"pattern_version": "2.1",%[1]s"valid_from": "2026-01-02T03:04:05.123456Z"%[2]s},%[2]s`, indent, end, i, i%1000)
			fmt.Fprintf(w, `{%[1]s"type": "relationship",%[1]s"spec_version": "2.1",%[1]s"id": "relationship--00000000-0000-4000-8000-%012[3]d",%[1]s"created": "2026-01-02T03:04:05.123456Z",%[1]s"modified": "2026-01-02T03:04:05.123456Z",%[1]s"relationship_type": "indicates",%[1]s"source_ref": "indicator--00000000-0000-4000-8000-%012[3]d",%[1]s"target_ref": "malware--00000000-0000-4000-8000-000000000001"%[2]s},%[2]s`, indent, end, i)
		}
		fmt.Fprintf(w, `{%[1]s"type": "malware",%[1]s"spec_version": "2.1",%[1]s"id": "malware--00000000-0000-4000-8000-000000000001",%[1]s"name": "Lumma Stealer",%[1]s"is_family": true%[2]s}%[2]s]%[2]s}`, indent, end)
	case "misp":
		io.WriteString(w, "{\"Event\": {\n  \"info\": \"sample\",\n  \"Attribute\": [\n")
		for i := range n {
			comma := ","
			if i == n-1 {
				comma = ""
			}
			fmt.Fprintf(w, `    {
      "uuid": "00000000-0000-4000-8000-%012d",
      "type": "domain",
      "category": "Network activity",
      "to_ids": true,
      "timestamp": "1767323045",
      "comment": "",
      "deleted": false,
      "disable_correlation": false,
      "value": "host-%d.bad%d.example"
    }%s
`, i, i, i%1000, comma)
		}
		io.WriteString(w, "  ],\n  \"Tag\": [{\"name\": \"tlp:green\"}, {\"name\": \"misp-galaxy:malpedia=\\\"Lumma Stealer\\\"\"}]\n}}\n")
	}
}

func BenchmarkParseStructured(b *testing.B) {
	const entries = 100_000
	for _, sample := range structuredKinds {
		b.Run(sample.name, func(b *testing.B) {
			var list bytes.Buffer
			structured(&list, sample.name, entries)
			b.SetBytes(int64(list.Len()))
			b.ReportAllocs()
			for b.Loop() {
				result, err := Parse(bytes.NewReader(list.Bytes()), Options{}, func(*Indicator) {}, func(Fault) {})
				if err != nil || result.Entries != entries || result.Kind != sample.kind {
					b.Fatalf("%+v, %v", result, err)
				}
			}
			b.ReportMetric(float64(entries*b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// TestStructuredCutShort holds that a JSON feed fails wherever it is cut.
func TestStructuredCutShort(t *testing.T) {
	for _, sample := range structuredKinds {
		var list bytes.Buffer
		structured(&list, sample.name, 1)
		whole := bytes.TrimSpace(list.Bytes())
		if whole[0] != '{' {
			continue
		}
		for n := 0; n < len(whole); n += 3 {
			result, err := Parse(bytes.NewReader(whole[:n]), Options{Kind: sample.kind}, func(*Indicator) {}, func(Fault) {})
			if err == nil {
				t.Fatalf("%s cut to %d of %d octets: %+v", sample.name, n, len(whole), result)
			}
		}
	}
}
