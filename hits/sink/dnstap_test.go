package sink

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	framestream "github.com/farsightsec/golang-framestream"
	"github.com/miekg/dns"
	"google.golang.org/protobuf/encoding/protowire"

	"sinkhole/hits"
)

// fields are those of a protobuf message, the last of each number.
func fields(t testing.TB, b []byte) map[protowire.Number]any {
	t.Helper()
	all := map[protowire.Number]any{}
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("no tag: %x", b)
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			all[num], n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			all[num], n = protowire.ConsumeFixed32(b)
		case protowire.BytesType:
			all[num], n = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("field %d has type %d", num, kind)
		}
		if n < 0 {
			t.Fatalf("field %d: %v", num, protowire.ParseError(n))
		}
		b = b[n:]
	}
	return all
}

// record is what the journal makes of a hit.
func record(t *testing.T, h *hits.Hit) *hits.Record {
	t.Helper()
	j := openJournal(t, t.TempDir())
	j.record(t, h)
	for _, line := range lines(t, j.dir) {
		if r, err := hits.ParseRecord([]byte(line)); err == nil && r.Event.Dataset == hits.DatasetHit {
			return r
		}
	}
	t.Fatal("the journal has no hit")
	return nil
}

func TestDnstapMessage(t *testing.T) {
	at := time.Date(2026, 2, 1, 3, 4, 5, 123456789, time.UTC)
	for name, c := range map[string]struct {
		hit              func(*hits.Hit)
		family, protocol uint64
		action, match    any
		value            []byte
		answer           string // "": no message
	}{
		"sinkholed": {func(*hits.Hit) {}, 1, 1, uint64(6), uint64(1), []byte("\x04a.\"\\\x03bad\x07example\x00"), "203.0.113.1"},
		"NXDOMAIN": {func(h *hits.Hit) {
			h.Action, h.RCode, h.Sink, h.Transport = "nxdomain", 3, netip.Addr{}, hits.DoQ
			h.Client = netip.MustParseAddrPort("[2001:db8::7]:1")
		}, 2, 7, uint64(1), uint64(1), []byte("\x04a.\"\\\x03bad\x07example\x00"), "NXDOMAIN"},
		"dropped": {func(h *hits.Hit) { h.Action, h.Answered, h.Transport = "drop", false, hits.TCP }, 1, 2, uint64(4), uint64(1), []byte("\x04a.\"\\\x03bad\x07example\x00"), ""},
		"refused": {func(h *hits.Hit) {
			h.Action, h.RCode, h.Sink, h.Transport, h.QType = "refused", 5, netip.Addr{}, hits.DoH3, 65000
		}, 1, 4, nil, uint64(1), []byte("\x04a.\"\\\x03bad\x07example\x00"), "REFUSED"},
		"observed":          {func(h *hits.Hit) { h.Observe, h.Action, h.Sink = true, "log", netip.Addr{} }, 1, 1, uint64(3), uint64(1), []byte("\x04a.\"\\\x03bad\x07example\x00"), "NOERROR"},
		"tcp-only over TCP": {func(h *hits.Hit) { h.Satisfied, h.Action, h.Sink = true, "tcp-only", netip.Addr{} }, 1, 1, uint64(3), uint64(1), []byte("\x04a.\"\\\x03bad\x07example\x00"), "NOERROR"},
		"by the answer's address": {func(h *hits.Hit) {
			h.Trigger, h.Matched = hits.TriggerResponseIP, netip.MustParseAddr("192.0.2.66")
		}, 1, 1, uint64(6), uint64(3), []byte{192, 0, 2, 66}, "203.0.113.1"},
	} {
		r := record(t, hit(func(h *hits.Hit) { h.Time = at; c.hit(h) }))
		tap := fields(t, appendDnstap(nil, r))
		if want := "id=" + r.Event.ID + " count=1 list=police families=Lumma Stealer"; string(tap[tapIdentity].([]byte)) != "res1" || string(tap[tapVersion].([]byte)) != "sinkhole 1.0" || string(tap[tapExtra].([]byte)) != want || tap[tapType] != uint64(1) {
			t.Errorf("%s: %v", name, tap)
		}
		m := fields(t, tap[tapMessage].([]byte))
		if m[1] != uint64(6) || m[2] != c.family || m[3] != c.protocol || !bytes.Equal(m[4].([]byte), r.Client.IP.AsSlice()) || !bytes.Equal(m[5].([]byte), []byte{198, 51, 100, 53}) ||
			m[6] != uint64(r.Client.Port) || m[7] != uint64(53) || m[8] != uint64(at.Unix()) || m[9] != uint32(123456789) || m[12] != m[8] || m[13] != m[9] {
			t.Errorf("%s: %v", name, m)
		}
		p := fields(t, m[15].([]byte))
		if string(p[1].([]byte)) != "sinkhole" || string(p[2].([]byte)) != "bad.example" || p[3] != c.action || p[4] != c.match || !bytes.Equal(p[5].([]byte), c.value) {
			t.Errorf("%s: policy %v", name, p)
		}
		if c.answer == "" {
			if m[14] != nil {
				t.Errorf("%s: an answer %x", name, m[14])
			}
			continue
		}
		var msg dns.Msg
		if err := msg.Unpack(m[14].([]byte)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := dns.RcodeToString[msg.Rcode]
		if len(msg.Answer) > 0 {
			got = msg.Answer[0].(*dns.A).A.String()
		}
		if got != c.answer || msg.Id != 4711 || !msg.Response || !msg.RecursionDesired || msg.Question[0].Name != `a\.\"\\.bad.example.` || msg.Question[0].Qtype == 65000 != (name == "refused") {
			t.Errorf("%s: %v", name, &msg)
		}
	}
}

// packName and the library agree on what is a name, and on its form.
func FuzzPackName(f *testing.F) {
	for _, name := range []string{".", "a.example", `a\.b\255\\.c`, strings.Repeat("a", 64), "a..b", "", `\`, `\300`, `\0`, strings.Repeat("a.", 127) + "a", strings.Repeat("a.", 126) + "aa"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, ok := packName([]byte("x"), name)
		if !ok {
			if string(got) != "x" {
				t.Errorf("%q: left %q", name, got)
			}
			return
		}
		text, end, err := dns.UnpackDomainName(got, 1)
		if err != nil || end != len(got) {
			t.Fatalf("%q: %q is no name: %v", name, got, err)
		}
		want := make([]byte, 300)
		n, err := dns.PackDomainName(text, want, 0, nil, false)
		if err != nil || !bytes.Equal(want[:n], got[1:]) {
			t.Errorf("%q: got %q, want %q: %v", name, got[1:], want[:n], err)
		}
	})
}

// A receiver gets each hit once, and none of the journal's own records; a stop ends the
// stream in order.
func TestDnstapOverFrameStreams(t *testing.T) {
	j := openJournal(t, t.TempDir())
	socket := filepath.Join(t.TempDir(), "tap")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var ids []string
	for round := range 2 {
		j.record(t, many(50)...)
		s := start(t, j.dir, "dnstap", &Dnstap{Target{Network: "unix", Address: socket}})
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		in, err := framestream.NewReader(conn, &framestream.ReaderOptions{ContentTypes: [][]byte{[]byte(dnstapContent)}, Bidirectional: true})
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 65536)
		for range 50 {
			n, err := in.ReadFrame(buf)
			if err != nil {
				t.Fatal(err)
			}
			id, _, _ := strings.Cut(string(fields(t, buf[:n])[tapExtra].([]byte)), " ")
			ids = append(ids, id)
		}
		go end(t, s)
		if n, err := in.ReadFrame(buf); err == nil {
			t.Fatalf("round %d: one more: %x", round, buf[:n])
		}
		<-s.done
		if st := s.Stats(); st.Broken != 0 {
			t.Errorf("%+v", st)
		}
		conn.Close()
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 100 {
		t.Errorf("%d different hits, want 100", len(ids))
	}
}

// A receiver of something else is refused, and one that says nothing, or nonsense, given up.
func TestDnstapHandshakeFails(t *testing.T) {
	j := openJournal(t, t.TempDir())
	j.record(t, many(5)...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if n%2 == 0 {
				_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			} else {
				_, _ = framestream.NewReader(conn, &framestream.ReaderOptions{ContentTypes: [][]byte{[]byte("text/plain")}, Bidirectional: true})
			}
			conn.Close()
		}
	}()
	s := start(t, j.dir, "dnstap", &Dnstap{Target{Network: "tcp", Address: l.Addr().String()}})
	eventually(t, "the receivers are refused", func() bool { return s.Stats().Refused > 3 })
	end(t, s)
	if st := s.Stats(); st.Sent != 0 || st.Connects != 0 {
		t.Errorf("%+v", st)
	}
}

// Debian's fstrm_capture takes the stream, away for a while in between, and dnstap-ldns reads
// what it wrote.
func TestDnstapTools(t *testing.T) {
	capture, reader := tool(t, "fstrm_capture"), tool(t, "dnstap-ldns")
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			dir := t.TempDir()
			target := Target{Network: network, Address: filepath.Join(dir, "tap")}
			where := []string{"-u", target.Address}
			if network == "tcp" {
				free, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				target.Address = free.Addr().String()
				free.Close()
				host, port, _ := net.SplitHostPort(target.Address)
				where = []string{"-a", host, "-p", port}
			}
			run := func(file string) (stop func()) {
				return run(t, capture, append(where, "-t", dnstapContent, "-w", filepath.Join(dir, file))...)
			}
			read := func(file string) string {
				out, err := exec.Command(reader, "-y", "-r", filepath.Join(dir, file)).CombinedOutput()
				if err != nil {
					t.Fatalf("dnstap-ldns: %v\n%s", err, out)
				}
				return string(out)
			}
			j := openJournal(t, t.TempDir())
			j.record(t, many(20)...)
			stop := run("first")
			s := start(t, j.dir, "dnstap", &Dnstap{target})
			eventually(t, "the first are sent", func() bool { return s.Stats().Sent == 20 })
			eventually(t, "the first are taken", func() bool { at, err := s.saved.load(); return err == nil && at.Offset > 0 })
			stop()
			_ = os.Remove(filepath.Join(dir, "tap"))
			eventually(t, "the receiver is away", func() bool { return s.Stats().Refused > 1 })
			j.record(t, many(30)...)
			stop = run("second")
			eventually(t, "the others are sent", func() bool { return s.Stats().Sent >= 50 })
			end(t, s)
			stop()
			first, second := read("first"), read("second")
			for _, want := range []string{"type: CLIENT_RESPONSE", `query_address: "192.0.2.7"`, `response_address: "198.51.100.53"`, "query_port: 40111", "socket_protocol: UDP", `a\."\\.bad.example.`, "203.0.113.1", "identity: \"res1\"", "version: \"sinkhole 1.0\""} {
				if !strings.Contains(first, want) {
					t.Errorf("%s is missing in\n%.2000s", want, first)
					break
				}
			}
			for i := range 30 {
				if want := fmt.Sprintf("id: %d\n", i); !strings.Contains(strings.ReplaceAll(second, ",", "\n"), want) {
					t.Errorf("hit %d is missing in\n%.1500s", i, second)
					break
				}
			}
		})
	}
}
