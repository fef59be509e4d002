package format

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestReaders holds that how a reader cuts its stream makes no difference.
func TestReaders(t *testing.T) {
	list := "# title\r\n" + strings.Repeat("bad.example\nworse.example # note\r\n", 3) + strings.Repeat("a", maxLine+1) + "\nlast.example"
	want := report(parse(list, Options{}))
	for name, reader := range map[string]io.Reader{
		"octets":            iotest.OneByteReader(strings.NewReader(list)),
		"halves":            iotest.HalfReader(strings.NewReader(list)),
		"data with the end": iotest.DataErrReader(strings.NewReader(list)),
	} {
		var got outcome
		got.result, got.err = Parse(reader, Options{}, func(ind *Indicator) { got.entries = append(got.entries, describe(ind)) },
			func(f Fault) { got.faults = append(got.faults, f) })
		if report(got) != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, report(got), want)
		}
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

type lyingReader struct{}

func (lyingReader) Read(p []byte) (int, error) { return len(p) + 1, nil }

// TestReadErrors holds that a read error fails the list, wherever it comes.
func TestReadErrors(t *testing.T) {
	broken := fmt.Errorf("connection reset: %w", io.EOF) // not the end, for all that it wraps
	for _, kind := range []Kind{Auto, Domains, Hosts, Adblock, Dnsmasq, Unbound, BIND, Dnscrypt, Suricata, CSV, RPZ} {
		for _, head := range []string{"", "# x\n", "indicator\n", "bad.example\n", "0.0.0.0 bad.example\n", "@ SOA . . 1 2 3 4 5\na.example CNAME .\n", "@ SOA (", "indicator\n\"a"} {
			reader := io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken))
			if _, err := Parse(reader, Options{Kind: kind}, func(*Indicator) {}, func(Fault) {}); !errors.Is(err, broken) {
				t.Errorf("%s, %q: error %v, want the reader's", kind, head, err)
			}
		}
	}
	if _, err := Parse(stuckReader{}, Options{}, nil, nil); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader without progress: %v", err)
	}
	if _, err := Parse(lyingReader{}, Options{}, nil, nil); err == nil {
		t.Error("a reader with an impossible count: no error")
	}
}

type endless struct {
	text string
	at   int
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[e.at]
		e.at = (e.at + 1) % len(e.text)
	}
	e.read += len(p)
	return len(p), nil
}

// TestEndlessGarbage holds that garbage without end is given up in time.
func TestEndlessGarbage(t *testing.T) {
	for _, kind := range []Kind{Domains, Hosts, Adblock, Dnsmasq, Unbound, BIND, Dnscrypt, Suricata, CSV, RPZ} {
		garbage := &endless{text: "? ? ?\n"}
		list := io.MultiReader(strings.NewReader("indicator\n"), garbage)
		result, err := Parse(list, Options{Kind: kind}, func(*Indicator) {}, func(Fault) {})
		if err == nil || result.Malformed > 2*manyMalformed || garbage.read > 16<<20 {
			t.Errorf("%s: %+v, error %v, %d octets read", kind, result, err, garbage.read)
		}
	}
	zeros := &endless{text: "\x00"}
	if _, err := Parse(zeros, Options{}, nil, nil); err == nil || zeros.read > 1<<20 {
		t.Errorf("zeros: error %v, %d octets read", err, zeros.read)
	}
}

// TestOpenRecordsEverywhere holds that in lists in which every other line opens
// what nothing closes, not each of them is looked for an end all the way ahead.
func TestOpenRecordsEverywhere(t *testing.T) {
	const pairs = 5000
	for kind, list := range map[Kind]string{
		CSV:  "indicator\n" + strings.Repeat("good.example\n\"bad\n", pairs),
		RPZ:  "@ SOA . . 1 2 3 4 5\n" + strings.Repeat("good.example CNAME .\nbad A (\n", pairs),
		BIND: strings.Repeat("zone \"good.example\" { type master; };\nzone \"bad\" { /*\n", pairs),
	} {
		got := parse(list, Options{Kind: kind})
		if got.err != nil || got.result.Malformed == 0 || got.result.Entries == 0 {
			t.Errorf("%s: %+v, error %v", kind, got.result, got.err)
		}
	}
	conf := &namedConf{}
	for range patience {
		if conf.reach() != maxLine {
			t.Fatalf("a reach of %d after %d statements without an end", conf.reach(), conf.vain)
		}
		conf.in, conf.line = newLines(strings.NewReader("")), []byte("zone \"bad\" {")
		if _, p := conf.readLong(); !p.is() {
			t.Fatal("a statement without an end was taken")
		}
	}
	if conf.reach() != shortReach {
		t.Errorf("a reach of %d after %d statements without an end, want %d", conf.reach(), conf.vain, shortReach)
	}
}
