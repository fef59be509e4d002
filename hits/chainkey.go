package hits

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

const (
	privateName = "chain.key"
	publicName  = "chain.pub" // the public keys of all heads, the newest last
	keyMode     = 0o600
)

// chainKey signs heads.
type chainKey struct {
	private ed25519.PrivateKey
	id      string
}

// openChainKey reads the private key, or makes one, and sees to it that its public key stands
// in the other file.
func openChainKey(path, public string) (*chainKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeChainKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the journal's signing key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("the journal's signing key: %s is not a PEM file", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("the journal's signing key: %s is not an Ed25519 key in PKCS #8 form, as openssl genpkey -algorithm ed25519 makes it", path)
	}
	k := &chainKey{private: private, id: keyID(private.Public().(ed25519.PublicKey))}
	known, err := PublicKeys(public)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if _, ok := known[k.id]; ok {
		return k, nil
	}
	packed, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	before, err := os.ReadFile(public)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return k, writeSynced(public, append(before, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: packed})...), fileMode)
}

func makeChainKey(path string) ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	packed, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: packed})
	return text, writeSynced(path, text, keyMode)
}

// PublicKeys reads the public keys of a PEM file, by the ids that heads name them by.
func PublicKeys(path string) (map[string]ed25519.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]ed25519.PublicKey)
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		key, ok := parsed.(ed25519.PublicKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("%s: found a %s that is not an Ed25519 public key", path, block.Type)
		}
		keys[keyID(key)] = key
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: expected an Ed25519 public key in PEM form, found none", path)
	}
	return keys, nil
}

// keyID is the beginning of the key's SHA-256.
func keyID(k ed25519.PublicKey) string {
	sum := sha256.Sum256(k)
	return hex.EncodeToString(sum[:8])
}

// writeSynced writes a file by another name first: half a key would stop the chain, and
// without the public keys of before nobody can verify what they signed.
func writeSynced(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path+partSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+partSuffix, path)
}
