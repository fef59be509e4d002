package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// selfSigned writes a certificate that is its own authority, and returns it.
func selfSigned(t *testing.T, name, file string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS answers over TLS what an upstream answers.
func serveTLS(t *testing.T, u testUpstream, addr string, certificate tls.Certificate) {
	t.Helper()
	l, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(u.answer)}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
}

// TestEncryptedUpstream forwards over TLS only, to a server that is found by name
// and is not there when we start.
func TestEncryptedUpstream(t *testing.T) {
	dig := tool(t, "dig")
	dir := t.TempDir()
	authority := filepath.Join(dir, "authority.pem")
	const name = "127.0.0.1.ip.example"
	certificate := selfSigned(t, name, authority)
	t.Setenv("SSL_CERT_FILE", authority)
	bootstrap, u, port := startUpstream(t), startUpstream(t), freePort(t)

	p := startProcess(t, dir, "")
	p.stop()
	server := "tls://" + name + ":" + port
	config, err := os.ReadFile(p.path("sinkhole.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config = regexp.MustCompile(`upstream: .*`).ReplaceAll(config, fmt.Appendf(nil, "upstream: {servers: [%q], bootstrap: [%q]}", server, bootstrap))
	if err := os.WriteFile(p.path("sinkhole.yaml"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	p.start()
	_, dnsPort, _ := net.SplitHostPort(p.dns)
	ask := func(name string) string {
		out, err := exec.Command(dig, "@127.0.0.1", "-p", dnsPort, "+time=5", "+tries=1", name).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if out := ask("early.example"); !strings.Contains(out, "SERVFAIL") {
		t.Errorf("no SERVFAIL without the upstream:\n%s", out)
	}

	serveTLS(t, u, "127.0.0.1:"+port, certificate)
	if err := eventually(func() error {
		if out := ask(fmt.Sprintf("n%d.example", time.Now().UnixNano())); !strings.Contains(out, "198.18.0.1") {
			return fmt.Errorf("no answer:\n%s", out)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	m := p.metrics()
	if got := m[fmt.Sprintf("sinkhole_upstream_connections{server=%q}", server)]; got != 1 {
		t.Errorf("got %v connections, want 1", got)
	}
	if m[fmt.Sprintf("sinkhole_upstream_connections_opened_total{server=%q,session=\"new\"}", server)] != 1 || m[fmt.Sprintf("sinkhole_upstream_exchanges_total{outcome=\"reply\",server=%q}", server)] < 1 {
		t.Error("the metrics do not tell of the connection and the reply")
	}
	if n := bootstrap.asked.Load(); n == 0 || n > 4 {
		t.Errorf("the bootstrap server was asked %d times, want twice", n)
	}
	if took := p.stop(); took > 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if !strings.Contains(p.stderr.String(), "upstream server answers again") || !strings.Contains(p.stderr.String(), server) {
		t.Errorf("the log does not tell of the server:\n%s", p.stderr)
	}
}
