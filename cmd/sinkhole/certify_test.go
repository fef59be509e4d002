package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdCertify writes tls.crt and tls.key, for a name, and a key that belongs to neither,
// other.key.
func cmdCertify(ts *testscript.TestScript, _ bool, args []string) {
	write := func(file, kind string, der []byte) {
		next := ts.MkAbs(file + ".next")
		ts.Check(os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		ts.Check(os.Rename(next, ts.MkAbs(file)))
	}
	var key *ecdsa.PrivateKey
	for _, file := range []string{"other.key", "tls.key"} {
		var err error
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		ts.Check(err)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		ts.Check(err)
		write(file, "PRIVATE KEY", der)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, DNSNames: args, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	write("tls.crt", "CERTIFICATE", der)
}
