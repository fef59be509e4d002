package resolver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// A client without SNI, or with the name of somebody else, gets the one certificate
// and judges itself; one that speaks no protocol of ours is told so.
func TestTLSNamesAndProtocols(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	dial := func(change func(*tls.Config)) error {
		config := k.tlsClient("h2")
		change(config)
		c, err := tls.Dial("tcp4", k.https.Addr().String(), config)
		if err == nil {
			c.Close()
		}
		return err
	}
	for what, c := range map[string]struct {
		change func(*tls.Config)
		says   string
	}{
		"without SNI":    {func(c *tls.Config) { c.ServerName = "127.0.0.1" }, ""}, // an address is not sent
		"another's name": {func(c *tls.Config) { c.ServerName = "other.example" }, "valid for dns.example"},
		"name unchecked": {func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "other.example", true }, ""},
		"another ALPN":   {func(c *tls.Config) { c.NextProtos = []string{"dot"} }, "no application protocol"},
		"TLS 1.1":        {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }, "protocol version"},
	} {
		err := dial(c.change)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, expected %q", what, err, c.says)
		}
	}
	for addr, protocol := range map[net.Addr]string{k.quic.quic.socket.LocalAddr(): "h3", k.https.quic.socket.LocalAddr(): "doq"} {
		_, err := k.quicDialer(t, "127.0.0.1").Dial(t.Context(), addr, k.tlsClient(protocol), nil)
		if refused, ok := errors.AsType[*quic.TransportError](err); !ok || refused.ErrorCode != 0x178 { // no_application_protocol
			t.Errorf("%s to %s: %v", protocol, addr, err)
		}
	}
}

// What is no TLS is closed, or given up in time, and others are answered meanwhile.
func TestGarbageOnTheHTTPSPort(t *testing.T) {
	t.Parallel()
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	random := rand.New(rand.NewPCG(3, 4))
	var silent []net.Conn
	for i := range 60 {
		c, err := net.Dial("tcp4", k.https.Addr().String())
		check(t, err)
		defer c.Close()
		switch i % 4 {
		case 0:
			_, _ = io.WriteString(c, "GET /dns-query?dns=AAAA HTTP/1.1\r\nHost: x\r\n\r\n")
		case 1:
			garbage := make([]byte, 2000)
			for j := range garbage {
				garbage[j] = byte(random.Uint32())
			}
			_, _ = c.Write(garbage)
		case 2: // a handshake begins
			_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1})
			silent = append(silent, c)
		default:
			silent = append(silent, c)
		}
	}
	serves(t, dialUDP(t, k.rig))
	if _, err := k.ways(t, "127.0.0.1")["doh post"](doqQuery(t, "bad.example.")); err != nil {
		t.Error(err)
	}
	for _, c := range silent {
		check(t, c.SetReadDeadline(time.Now().Add(patience)))
		if _, err := io.ReadAll(c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Fatalf("a connection without a handshake stays open: %v", err)
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Requests that are given up at once leave nothing behind (CVE-2023-44487).
func TestHTTPRequestsOpenedAndReset(t *testing.T) {
	t.Parallel()
	z := newZone(t, trapZone+";! slow.example. A drop\nslow.example. A 192.0.2.9\n")
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), servers: []string{z.addr}, timeout: time.Second})
	for version, client := range map[string]*http.Client{"h2": k.h2(t, "127.0.0.1"), "h3": k.h3(t, "127.0.0.1")} {
		for range 1000 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(2000))*time.Microsecond)
			r, err := http.NewRequestWithContext(ctx, "POST", k.url(), bytes.NewReader(doqQuery(t, "slow.example.")))
			check(t, err)
			r.Header.Set("Content-Type", dohMediaType)
			if answer, err := client.Do(r); err == nil {
				answer.Body.Close()
			}
			cancel()
		}
		if answer, err := client.Post(k.url(), dohMediaType, bytes.NewReader(doqQuery(t, "bad.example."))); err != nil || answer.StatusCode != 200 {
			t.Errorf("%s: afterwards %v", version, err)
		}
	}
	eventually(t, "nothing is under way", func() bool { s := k.Stats().Encrypted; return s.TLS.Queries+s.QUIC.Queries == 0 })
	if k.Stats().Panics > 0 {
		t.Error("a fault in the server")
	}
}
