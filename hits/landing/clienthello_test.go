package landing

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// chrome is the client of FoxIO's example, whose parts its specification gives.
func chrome() *clientHello {
	return &clientHello{
		version: tls.VersionTLS13, named: true, serverName: "bad.example", alpn: []string{"h2", "http/1.1"},
		ciphers:    []uint16{0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		extensions: []uint16{0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015},
		signatures: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	}
}

func TestJA4(t *testing.T) {
	for name, c := range map[string]struct {
		mod  func(*clientHello)
		want string
	}{
		"the specification's example": {func(*clientHello) {}, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		"GREASE is left out": {func(h *clientHello) {
			h.ciphers, h.extensions = append([]uint16{0x1a1a}, h.ciphers...), append(append([]uint16{0xdada}, h.extensions...), 0x3a3a)
		}, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		"the order of ciphers and extensions is nothing": {func(h *clientHello) { slices.Reverse(h.ciphers); slices.Reverse(h.extensions) },
			"t13d1516h2_8daaf6152771_e5627efa2ab1"},
		"no name, no ALPN": {func(h *clientHello) { h.named, h.alpn, h.version = false, nil, tls.VersionTLS12 }, "t12i151600_8daaf6152771_e5627efa2ab1"},
		"http/1.1":         {func(h *clientHello) { h.alpn = []string{"http/1.1"} }, "t13d1516h1_8daaf6152771_e5627efa2ab1"},
		// The specification's examples of ALPN that is not alphanumeric.
		"one octet 0xAB":    {func(h *clientHello) { h.alpn = []string{"\xab"} }, "t13d1516ab_8daaf6152771_e5627efa2ab1"},
		"0xAB 0xCD":         {func(h *clientHello) { h.alpn = []string{"\xab\xcd"} }, "t13d1516ad_8daaf6152771_e5627efa2ab1"},
		"0x30 0xAB":         {func(h *clientHello) { h.alpn = []string{"0\xab"} }, "t13d15163b_8daaf6152771_e5627efa2ab1"},
		"0x30 0x31 0xAB CD": {func(h *clientHello) { h.alpn = []string{"01\xab\xcd"} }, "t13d15163d_8daaf6152771_e5627efa2ab1"},
		"0x30 0xAB 0xCD 31": {func(h *clientHello) { h.alpn = []string{"0\xab\xcd1"} }, "t13d151601_8daaf6152771_e5627efa2ab1"},
		"one letter":        {func(h *clientHello) { h.alpn = []string{"h"} }, "t13d1516hh_8daaf6152771_e5627efa2ab1"},
		"nothing":           {func(h *clientHello) { *h = clientHello{version: 0x0300} }, "ts3i000000_000000000000_000000000000"},
		"too many":          {func(h *clientHello) { h.ciphers = make([]uint16, 120) }, "t13d9916h2_" + shortHash(strings.Repeat("0000,", 119)+"0000") + "_e5627efa2ab1"},
		"unknown version":   {func(h *clientHello) { h.version = 0x0305 }, "t00d1516h2_8daaf6152771_e5627efa2ab1"},
	} {
		h := chrome()
		c.mod(h)
		if got := h.ja4(); got != c.want {
			t.Errorf("%s: found %s, expected %s", name, got, c.want)
		}
	}
}

// pack writes a ClientHello in records of at most so many octets.
func (h *clientHello) pack(t testing.TB, record int) []byte {
	t.Helper()
	var m cryptobyte.Builder
	m.AddUint8(messageClientHello)
	m.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(min(h.version, tls.VersionTLS12))
		b.AddBytes(make([]byte, 32))
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, 32)) })
		list := func(all []uint16) func(*cryptobyte.Builder) {
			return func(b *cryptobyte.Builder) {
				for _, n := range all {
					b.AddUint16(n)
				}
			}
		}
		b.AddUint16LengthPrefixed(list(h.ciphers))
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, n := range h.extensions {
				b.AddUint16(n)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					switch n {
					case extensionServerName:
						b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
							b.AddUint8(serverNameTypeHostName)
							b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(h.serverName)) })
						})
					case extensionSignatures:
						b.AddUint16LengthPrefixed(list(h.signatures))
					case extensionALPN:
						b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
							for _, name := range h.alpn {
								b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
							}
						})
					case extensionVersions:
						b.AddUint8LengthPrefixed(list([]uint16{0x8a8a, h.version, tls.VersionTLS12}))
					}
				})
			}
		})
	})
	var out []byte
	for part := range slices.Chunk(m.BytesOrPanic(), record) {
		out = append(out, recordHandshake, 3, 1, byte(len(part)>>8), byte(len(part)))
		out = append(out, part...)
	}
	return out
}

func TestClientHelloIsReadHoweverItIsCut(t *testing.T) {
	for _, record := range []int{1, 2, 7, 100, 16 << 10} {
		data := chrome().pack(t, record)
		for n := range data {
			if _, need, err := parseClientHello(data[:n]); !errors.Is(err, errPartial) || need <= n || need > len(data) {
				t.Fatalf("records of %d, the first %d octets of %d: found %v, needs %d, expected %v", record, n, len(data), err, need, errPartial)
			}
		}
		h, _, err := parseClientHello(data)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.ja4(); got != "t13d1516h2_8daaf6152771_e5627efa2ab1" || h.serverName != "bad.example" || !slices.Equal(h.alpn, []string{"h2", "http/1.1"}) {
			t.Errorf("records of %d: found %s %q %q", record, got, h.serverName, h.alpn)
		}
	}
}

func TestWhatIsNoClientHello(t *testing.T) {
	whole := chrome().pack(t, 16<<10)
	for name, data := range map[string][]byte{
		"HTTP":                 []byte("GET / HTTP/1.1\r\n"),
		"an alert":             {21, 3, 1, 0, 2, 1, 0},
		"SSH":                  []byte("SSH-2.0-x"),
		"an empty record":      {22, 3, 1, 0, 0},
		"a ServerHello":        {22, 3, 3, 0, 4, 2, 0, 0, 0},
		"a message too long":   {22, 3, 3, 0, 4, 1, 0xff, 0, 0},
		"a record too long":    {22, 3, 3, 0xff, 0xff, 1},
		"an empty message":     {22, 3, 3, 0, 4, 1, 0, 0, 0},
		"another major number": {22, 9, 9},
		"a length that lies":   append(append([]byte{}, whole[:9]...), bytes.Repeat([]byte{0xff}, len(whole)-9)...),
	} {
		if h, _, err := parseClientHello(data); !errors.Is(err, errNoHello) {
			t.Errorf("%s: found %v, %v", name, h, err)
		}
	}
}

// What a parser of Go's own says of the same octets is the oracle.
func goHello(t testing.TB, data []byte) (info *tls.ClientHelloInfo) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	_ = ours.SetDeadline(time.Now().Add(5 * time.Second))
	go func() {
		_, _ = ours.Write(data)
	}()
	go func() { _, _ = io.Copy(io.Discard, ours) }() // an alert, while we may still write
	_ = theirs.SetDeadline(time.Now().Add(5 * time.Second))
	_ = tls.Server(theirs, &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		info = i
		return nil, io.EOF
	}}).Handshake()
	theirs.Close()
	return info
}

func checkAsGo(t *testing.T, data []byte) {
	t.Helper()
	info := goHello(t, data)
	if info == nil {
		return
	}
	h, _, err := parseClientHello(data)
	if err != nil {
		t.Fatalf("Go reads it, we do not: %v\n%x", err, data)
	}
	if !slices.Equal(h.ciphers, info.CipherSuites) || !slices.Equal(h.extensions, info.Extensions) || h.serverName != info.ServerName ||
		len(h.alpn) < maxALPN && !slices.Equal(h.alpn, info.SupportedProtos) {
		t.Fatalf("found %+v\nexpected %x %x %q %q", h, info.CipherSuites, info.Extensions, info.ServerName, info.SupportedProtos)
	}
	if len(h.signatures) != len(info.SignatureSchemes) {
		t.Fatalf("found %d signatures, expected %d", len(h.signatures), len(info.SignatureSchemes))
	}
}

func FuzzClientHello(f *testing.F) {
	for _, record := range []int{1, 50, 16 << 10} {
		f.Add(chrome().pack(f, record))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, _, err := parseClientHello(data)
		if err != nil {
			if h != nil || !errors.Is(err, errPartial) && !errors.Is(err, errNoHello) {
				t.Fatal(h, err)
			}
			if errors.Is(err, errPartial) && len(data) > 4*(maxClientHello+messageHeader)*(recordHeader+1) {
				t.Fatal("waits for more without end")
			}
			return
		}
		if got := h.ja4(); len(got) != len("t13d1516h2_8daaf6152771_e5627efa2ab1") {
			t.Fatalf("JA4 %q", got)
		}
		checkAsGo(t, data)
	})
}

func TestRealClientsAreReadAsGoReadsThem(t *testing.T) {
	for name, command := range map[string][]string{
		"openssl": {"openssl", "s_client", "-servername", "bad.example", "-alpn", "h2,http/1.1", "-connect"},
		"curl":    {"curl", "-sk", "--max-time", "5", "--connect-to"},
	} {
		t.Run(name, func(t *testing.T) {
			requireTool(t, command[0])
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if name == "curl" {
				command = append(command, "bad.example:443:"+l.Addr().String(), "https://bad.example/")
			} else {
				command = append(command, l.Addr().String())
			}
			cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			var data []byte
			var h *clientHello
			for h == nil {
				buf := make([]byte, 100)
				n, err := conn.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				data = append(data, buf[:n]...)
				if h, _, err = parseClientHello(data); h == nil && !errors.Is(err, errPartial) {
					t.Fatal(err)
				}
			}
			conn.Close()
			_ = cmd.Wait()
			checkAsGo(t, data)
			if got := h.ja4(); !strings.HasPrefix(got, "t13d") || got[8:10] != "h2" && got[8:10] != "h1" || h.serverName != "bad.example" {
				t.Errorf("found %s %q", got, h.serverName)
			}
		})
	}
}

func requireTool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if require() {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
}
