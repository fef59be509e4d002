package configs

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	maxSecret  = 4 << 10
	maxClients = 64 << 20
	// maxClientFaults bounds the lines of one file that an error names.
	maxClientFaults = 20
)

// Secret reads the secret of the header. Empty where no file is named.
func (a Auth) Secret() (string, error) { return readSecret(a.SecretFile) }

// Secret reads the key, in base64. Empty where no file is named.
func (t TSIG) Secret() (string, error) {
	secret, err := readSecret(t.SecretFile)
	if err != nil || t.SecretFile == "" {
		return "", err
	}
	if _, err := base64.StdEncoding.DecodeString(secret); err != nil {
		return "", fmt.Errorf("%s: found no base64, expected the key's secret alone, as it stands between the quotes of the primary's key", t.SecretFile)
	}
	return secret, nil
}

// readSecret reads a file of one line. Its error never shows what is in it.
func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	file, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", refuseFile(path, err)
	}
	secret := strings.TrimSpace(string(data))
	switch {
	case len(data) > maxSecret:
		return "", fmt.Errorf("%s: found more than %d bytes, expected a secret on one line: is this another file?", path, maxSecret)
	case secret == "":
		return "", fmt.Errorf("%s: found nothing, expected a secret on one line", path)
	case strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("%s: found several lines or a control character, expected a secret on one line", path)
	}
	return secret, nil
}

// ReadClients reads a file of clients of a group: an address or prefix a line, #
// begins a comment. An error has a line for each of the first lines at fault.
func ReadClients(path string) (prefixes []netip.Prefix, err error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	bounded := &io.LimitedReader{R: file, N: maxClients + 1}
	scanner := bufio.NewScanner(bounded)
	line, bad := 0, 0
	var faults []error
	for scanner.Scan() {
		line++
		text, _, _ := strings.Cut(strings.TrimPrefix(scanner.Text(), "\uFEFF"), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := parsePrefix(text)
		if err == nil {
			prefixes = append(prefixes, p)
		} else if bad++; bad <= maxClientFaults {
			faults = append(faults, fmt.Errorf("%s:%d: %w", path, line, err))
		}
	}
	if more := bad - maxClientFaults; more > 0 {
		faults = append(faults, fmt.Errorf("%s: and %d more lines", path, more))
	}
	switch err := scanner.Err(); {
	case bad > 0:
		return nil, errors.Join(faults...)
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%s:%d: found a line of more than %d bytes, expected an address or prefix a line: is this another file?", path, line+1, bufio.MaxScanTokenSize)
	case err != nil:
		return nil, refuseFile(path, err)
	case bounded.N == 0:
		return nil, fmt.Errorf("%s: found more than %d MiB, expected at most that much", path, maxClients>>20)
	}
	return prefixes, nil
}

// openRegular opens a regular file: a pipe could keep us waiting.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, refuseFile(path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is a directory, device or pipe, expected a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, refuseFile(path, err)
	}
	return file, nil
}

func refuseFile(path string, err error) error {
	return fmt.Errorf("%s: %w, expected a file that the user (uid %d) can read", path, cause(err), os.Geteuid())
}

// checkDirectory tells whether path is a directory, or could be made.
func checkDirectory(path string) error {
	for at := path; at != ""; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at:
			continue
		case errors.Is(err, syscall.ENOTDIR):
			continue // what is the file above it is told by that
		case err != nil:
			return fmt.Errorf("%s: %w, expected a directory that the user (uid %d) can use", at, cause(err), os.Geteuid())
		case !info.IsDir():
			return fmt.Errorf("%s: is a file, expected a directory, or nothing: then it is made", at)
		}
		return nil
	}
	return nil
}

// checkOwnFile tells whether path is a file that we write, or could be made.
func checkOwnFile(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s: is a directory, link, device or pipe, expected a file, or nothing: then it is made", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
		return refuseFile(path, err)
	}
	return checkDirectory(filepath.Dir(path))
}

// CheckFiles looks at the files and directories that c names beside its lists:
// secrets, clients of groups, what the guard protects, where is written. It gives [Faults] at the keys, or nil.
// Reading a configuration does not need these files.
func (c *Config) CheckFiles() error {
	d := &decoder{source: c.source}
	check := func(key string, err error) {
		if err == nil {
			return
		}
		for fault := range strings.SplitSeq(err.Error(), "\n") {
			d.fault(c.source.near(key), key, "%s", fault)
		}
	}
	_, err := c.Clients.CookieSecrets()
	check("clients.cookie_secret_file", err)
	_, err = c.Hits.IdentityKey()
	check("hits.identity_key_file", err)
	_, err = c.Hits.WebhookKey()
	check("hits.webhook_secret_file", err)
	for section, lists := range map[string][]List{"lists": c.Lists, "allow": c.Allow} {
		for i, l := range lists {
			_, err := l.Auth.Secret()
			check(fmt.Sprintf("%s[%d].auth.secret_file", section, i), err)
			_, err = l.TSIG.Secret()
			check(fmt.Sprintf("%s[%d].tsig.secret_file", section, i), err)
		}
	}
	for i, g := range c.Groups {
		for n, client := range g.Clients {
			if _, err := parsePrefix(client); err == nil {
				continue
			}
			_, err := ReadClients(client)
			check(fmt.Sprintf("groups[%d].clients[%d]", i, n), err)
		}
	}
	if c.Landing.Notice != "" {
		file, err := openRegular(c.Landing.Notice)
		if err == nil {
			err = file.Close()
		}
		check("landing.notice", err)
	}
	check("list_store", checkDirectory(c.ListStore))
	check("allow_file", checkOwnFile(c.AllowFile))
	check("cache.file", checkOwnFile(c.Cache.File))
	check("hits.journal.path", checkDirectory(c.Hits.Journal.Path))
	if to, err := c.Hits.SyslogReceiver(); err == nil {
		_, err = to.TLS()
		check("hits.syslog", err)
	}
	if to, _, err := c.Hits.StreamReceiver(); err == nil {
		_, err = to.TLS()
		check("hits.stream", err)
	}
	for key, paths := range map[string][]string{"guard.files": c.Guard.Files, "guard.hold": c.Guard.Hold, "hits.geo": c.Hits.Geo} {
		for i, path := range paths {
			file, err := openRegular(path)
			if err == nil {
				err = file.Close()
			}
			check(fmt.Sprintf("%s[%d]", key, i), err)
		}
	}
	if len(d.faults) == 0 {
		return nil
	}
	return d.faults.arranged()
}
