package console

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	tokenPrefix = "snk_" // so that secret scanners know one
	hashPrefix  = "sha256:"
	// byCertificate stands in the place of a hash: the name is that of a client certificate.
	byCertificate = "certificate"

	maxTokensFile = 1 << 20
	maxTokens     = 1000
	// settled is how old a change of the file must be when it is read, so that no other of the
	// same moment goes unseen.
	settled = time.Second
)

// grant is a line of the file.
type grant struct {
	user User
	hash [sha256.Size]byte
	cert bool // the user has a certificate, and no token
}

// NewToken makes a token of 256 random bits, and the line of the tokens file that knows it.
func NewToken(name string, role Role) (token, line string, err error) {
	if err := checkName(name); err != nil {
		return "", "", err
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	token = tokenPrefix + hex.EncodeToString(secret[:])
	hash := sha256.Sum256([]byte(token))
	return token, name + " " + role.String() + " " + hashPrefix + hex.EncodeToString(hash[:]), nil
}

// CheckTokens reads a tokens file, and tells what is wrong with it: an error with a line for
// each fault.
func CheckTokens(path string) error {
	text, _, err := readBounded(path, maxTokensFile)
	if err != nil {
		return err
	}
	grants, faults := parseTokens(path, text)
	if len(faults) == 0 && len(grants) == 0 {
		return fmt.Errorf("%s: found no token, expected a line as `sinkhole console token NAME ROLE` prints it", path)
	}
	return errors.Join(faults...)
}

// parseTokens reads what it can. A line at fault admits nobody.
func parseTokens(path string, text []byte) (grants []grant, faults []error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxTokensFile+1)
	for number := 1; lines.Scan(); number++ {
		line, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "\uFEFF"), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		g, err := parseGrant(fields)
		switch same := func(o grant) bool { return o.user.Name == g.user.Name }; {
		case err == nil && slices.ContainsFunc(grants, same):
			err = fmt.Errorf("found the name %q a second time, expected each once", g.user.Name)
		case err == nil && len(grants) == maxTokens:
			err = fmt.Errorf("found more than %d tokens, expected at most that many", maxTokens)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", path, number, err))
			continue
		}
		grants = append(grants, g)
	}
	return grants, faults
}

// parseGrant never shows the last field: somebody may have put the token itself there.
func parseGrant(fields []string) (g grant, err error) {
	const expected = "expected NAME ROLE and " + hashPrefix + "HASH, as `sinkhole console token NAME ROLE` prints it, or " + byCertificate
	if len(fields) != 3 {
		return g, fmt.Errorf("found %d words, %s", len(fields), expected)
	}
	if err := checkName(fields[0]); err != nil {
		return g, err
	}
	g.user.Name = fields[0]
	if g.user.Role, err = ParseRole(fields[1]); err != nil {
		return g, fmt.Errorf("as the role of %s %w", g.user.Name, err)
	}
	if g.cert = fields[2] == byCertificate; g.cert {
		return g, nil
	}
	text, found := strings.CutPrefix(fields[2], hashPrefix)
	if n, err := hex.Decode(g.hash[:], []byte(text[:min(len(text), 2*sha256.Size)])); !found || err != nil || n != sha256.Size || len(text) != 2*sha256.Size {
		return g, fmt.Errorf("found something else than a hash after %s %s, %s", fields[0], fields[1], expected)
	}
	return g, nil
}

// tokens are those of a file, read again when it changes.
type tokens struct {
	path string
	log  *zap.Logger

	mu     sync.Mutex
	info   os.FileInfo // when grants were read; nil: look again
	grants []grant
	told   string // the fault that was logged last
}

// openTokens fails for a file at fault. Later faults admit fewer, and are logged.
func openTokens(path string, log *zap.Logger) (*tokens, error) {
	if err := CheckTokens(path); err != nil {
		return nil, err
	}
	return &tokens{path: path, log: log}, nil
}

// current gives the lines in force. A file that cannot be read admits nobody: it may have been
// taken away to that end.
func (t *tokens) current() []grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	if info, err := os.Stat(t.path); err == nil && t.info != nil && unchanged(t.info, info) {
		return t.grants
	}
	text, info, err := readBounded(t.path, maxTokensFile)
	var faults []error
	if err != nil {
		t.grants, faults = nil, []error{err}
	} else {
		t.grants, faults = parseTokens(t.path, text)
	}
	t.info = nil
	if err == nil && time.Since(info.ModTime()) > settled {
		t.info = info
	}
	fault := ""
	if len(faults) > 0 {
		fault = errors.Join(faults...).Error()
	}
	if fault != "" && fault != t.told {
		t.log.Error("lines of the tokens file cannot be used, and admit nobody", zap.String("faults", fault))
	}
	t.told = fault
	return t.grants
}

func unchanged(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// byToken is who has a token; nil: nobody. How long it takes does not depend on the secret.
func (t *tokens) byToken(token string) (found *User) {
	hash := sha256.Sum256([]byte(token))
	for _, g := range t.current() {
		if subtle.ConstantTimeCompare(hash[:], g.hash[:]) == 1 && !g.cert {
			found = &g.user
		}
	}
	return found
}

// byCertificate is who has a client certificate that was verified; nil: nobody. Its names are
// the common name, DNS names and e-mail addresses.
func (t *tokens) byCertificate(c *x509.Certificate) *User {
	names := slices.Concat([]string{c.Subject.CommonName}, c.DNSNames, c.EmailAddresses)
	for _, g := range t.current() {
		if g.cert && slices.Contains(names, g.user.Name) {
			return &g.user
		}
	}
	return nil
}

// cause is an error without the name of a system call.
func cause(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// readBounded reads a regular file.
func readBounded(path string, most int64) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w, expected a file that the user (uid %d) can read", path, cause(err), os.Geteuid())
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: is a directory, device or pipe, expected a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: found more than %d octets, expected at most that many: is this another file?", path, most)
	}
	return text, info, err
}
