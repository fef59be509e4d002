package certificate

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
)

// maxFile bounds each of the files, in octets.
const maxFile = 1 << 20

// pair is a certificate, its chain and its key, which belong together; immutable.
type pair struct {
	tls.Certificate
	digest string // of both files
}

// read reads both files. seen names what was found there, fault or not: the same
// twice is no change.
func read(certFile, keyFile string) (p *pair, seen string, err error) {
	chain, err := readFile(certFile)
	if err != nil {
		return nil, err.Error(), err
	}
	key, err := readFile(keyFile)
	if err != nil {
		return nil, err.Error(), err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%d ", len(chain))
	sum.Write(chain)
	sum.Write(key)
	seen = hex.EncodeToString(sum.Sum(nil))
	if err := checkChain(certFile, chain); err != nil {
		return nil, seen, err
	}
	if err := checkKey(keyFile, key); err != nil {
		return nil, seen, err
	}
	parsed, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, seen, mismatch(certFile, keyFile, chain, key, err)
	}
	return &pair{Certificate: parsed, digest: seen}, seen, nil
}

// readFile reads a regular file: a pipe could keep us waiting.
func readFile(path string) ([]byte, error) {
	const expected = "expected a PEM file that the user (uid %d) can read"
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w, "+expected, err, os.Geteuid())
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is a directory, device or pipe, expected a PEM file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w, "+expected, err, os.Geteuid())
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%w, "+expected, err, os.Geteuid())
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: found more than %d MiB, expected a PEM file: is this another file?", path, maxFile>>20)
	}
	return data, nil
}

// blocks are the types of the PEM blocks of a file, and the content of each that is
// a certificate.
func blocks(data []byte) (types []string, certificates [][]byte) {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return types, certificates
		}
		types = append(types, b.Type)
		if b.Type == "CERTIFICATE" {
			certificates = append(certificates, b.Bytes)
		}
	}
}

func checkChain(path string, data []byte) error {
	types, certificates := blocks(data)
	switch {
	case len(types) == 0:
		return fmt.Errorf("%s: found no PEM block, expected the server's certificate and its chain (-----BEGIN CERTIFICATE-----)%s", path, isDER(data))
	case len(certificates) == 0:
		return fmt.Errorf("%s: found %s, expected the server's certificate and its chain (CERTIFICATE): are certificate and key exchanged?", path, strings.Join(types, ", "))
	}
	for i, der := range certificates {
		if _, err := x509.ParseCertificate(der); err != nil {
			return fmt.Errorf("%s: certificate %d of %d cannot be read: %w", path, i+1, len(certificates), err)
		}
	}
	return nil
}

func checkKey(path string, data []byte) error {
	types, _ := blocks(data)
	if len(types) == 0 {
		return fmt.Errorf("%s: found no PEM block, expected a private key (-----BEGIN PRIVATE KEY-----)%s", path, isDER(data))
	}
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return fmt.Errorf("%s: found %s, expected a private key: are certificate and key exchanged?", path, strings.Join(types, ", "))
		}
		if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
			return fmt.Errorf("%s: found a key under a passphrase, expected one without: nobody is there to type it (openssl pkey -in FILE -out PLAIN)", path)
		}
		if b.Type == "PRIVATE KEY" || strings.HasSuffix(b.Type, " PRIVATE KEY") {
			return nil
		}
	}
}

// isDER is a hint for who has the binary form of a certificate or key.
func isDER(data []byte) string {
	if bytes.HasPrefix(data, []byte{0x30, 0x82}) {
		return ": this looks like DER, which openssl converts (-inform DER)"
	}
	return ""
}

// mismatch says what is wrong with files that are each as they should be.
func mismatch(certFile, keyFile string, chain, key []byte, cause error) error {
	_, certificates := blocks(chain)
	for i, der := range certificates[1:] {
		one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if _, err := tls.X509KeyPair(one, key); err == nil {
			return fmt.Errorf("%s: the certificate of the key in %s is number %d, expected it first, those that sign it after it", certFile, keyFile, i+2)
		}
	}
	leaf, err := x509.ParseCertificate(certificates[0])
	if err != nil {
		return fmt.Errorf("%s: %w", certFile, err)
	}
	if public := publicKey(key); public != nil {
		return fmt.Errorf("%s and %s do not match: found the certificate of %s, whose key is another one (%w), expected the key that it was made with",
			certFile, keyFile, subject(leaf), cause)
	}
	return fmt.Errorf("%s: the key cannot be read: %w, expected an RSA, ECDSA or Ed25519 key", keyFile, cause)
}

// publicKey is that of the first private key of a PEM file, nil if it cannot be read.
func publicKey(data []byte) crypto.PublicKey {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return nil
		}
		if !strings.HasSuffix(b.Type, "PRIVATE KEY") {
			continue
		}
		for _, parse := range []func([]byte) (any, error){
			x509.ParsePKCS8PrivateKey,
			func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
			func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
		} {
			if key, err := parse(b.Bytes); err == nil {
				if signer, ok := key.(crypto.Signer); ok {
					return signer.Public()
				}
			}
		}
		return nil
	}
}

// worse is the error of a pair that no client would take, while they take current.
func (p *pair) worse(current *pair, now time.Time) error {
	if now.After(p.Leaf.NotAfter) && now.Before(current.Leaf.NotAfter) {
		return fmt.Errorf("found a certificate of %s that expired at %s, expected a newer one: is this an old copy?",
			subject(p.Leaf), moment(p.Leaf.NotAfter))
	}
	return nil
}

// subject is what a certificate is for, in words.
func subject(leaf *x509.Certificate) string {
	all := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	switch {
	case len(all) > 0:
		return strings.Join(all, ", ")
	case leaf.Subject.CommonName != "":
		return leaf.Subject.CommonName
	}
	return "nobody"
}

// tell logs what is in force now.
func (p *pair) tell(log *zap.Logger, message string) {
	fingerprint := sha256.Sum256(p.Leaf.Raw)
	log.Info(message, zap.String("for", subject(p.Leaf)), zap.String("issuer", p.Leaf.Issuer.String()),
		zap.String("expires", moment(p.Leaf.NotAfter)), zap.String("sha256", hex.EncodeToString(fingerprint[:])))
	if len(p.Leaf.DNSNames)+len(p.Leaf.IPAddresses) == 0 {
		log.Warn("certificate is for no name and no address: clients do not take a common name, expected subjectAltName")
	}
	if now := time.Now(); now.Before(p.Leaf.NotBefore) {
		log.Warn("certificate is not valid yet: clients will not take it", zap.String("valid_from", moment(p.Leaf.NotBefore)))
	}
}

// moment is a time for people, with its date.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
