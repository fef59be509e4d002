package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/publicsuffix"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/configs"
	"sinkhole/hits/console"
)

// What allow_file may become in the console's hands.
const (
	maxAllowFile    = 4 << 20
	maxAllowed      = 10_000
	maxAllowComment = 200
	// Wider prefixes are no false positive.
	leastAllowed4, leastAllowed6 = 16, 32

	allowFileMode = 0o640
	// allowWithin is how long a change may take to be in force; it is made all the same.
	allowWithin = 20 * time.Second
)

const allowFileHead = "# What is never blocked, a name (with all below it), address or prefix a line. Written by the console of sinkhole; edit it as you like.\n"

// makeAllowFile makes the file where it is missing: a list that is not there would be a fault.
func makeAllowFile(path string) error {
	if path == "" || allowFileExists(path) {
		return nil
	}
	const dirMode = 0o750
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return fmt.Errorf("allow_file: %w", err)
	}
	if err := os.WriteFile(path, []byte(allowFileHead), allowFileMode); err != nil {
		return fmt.Errorf("allow_file: %w", err)
	}
	return nil
}

func allowFileExists(path string) bool {
	_, err := os.Lstat(path)
	return path != "" && err == nil
}

// literalSource is the source of a list that is one file, whatever its name is.
func literalSource(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

var errNoAllowFile = errors.New("nothing can be allowed here, since allow_file is not configured: set it to a file such as data/allowed.txt")

// allowPath is the file in force.
func (s *server) allowPath() (string, error) {
	path := s.configNow().AllowFile
	if path == "" {
		return "", errNoAllowFile
	}
	return path, nil
}

// allowed reads what the file has.
func (s *server) allowed() ([]console.Allowed, error) {
	all := []console.Allowed{}
	path, err := s.allowPath()
	if errors.Is(err, errNoAllowFile) {
		return all, nil
	}
	text, err := readAllowFile(path)
	for line := range bytes.Lines(text) {
		if a, found := parseAllowed(string(line)); found {
			all = append(all, a)
		}
	}
	return all, err
}

// parseAllowed reads a line: ENTRY # TIME USER: COMMENT, as allow writes it, or what somebody
// wrote by hand.
func parseAllowed(line string) (a console.Allowed, found bool) {
	entry, comment, _ := strings.Cut(strings.TrimSpace(line), "#")
	a.Entry, a.Comment = strings.TrimSpace(entry), strings.TrimSpace(comment)
	at, rest, _ := strings.Cut(a.Comment, " ")
	user, why, told := strings.Cut(rest, ":")
	if _, err := time.Parse(time.RFC3339, at); err == nil && told {
		a.At, a.By, a.Comment = at, user, strings.TrimSpace(why)
	}
	return a, a.Entry != ""
}

// allow lets an entry through from now on, and gives it as it stands in the file.
func (s *server) allow(ctx context.Context, user, entry, comment string) (string, error) {
	entry, err := allowEntry(entry)
	if err != nil {
		return "", err
	}
	comment = plainComment(comment)
	return entry, s.changeAllowFile(ctx, func(lines []string) ([]string, error) {
		if slices.ContainsFunc(lines, isAllowed(entry)) {
			return nil, fmt.Errorf("%s stands in allow_file already", entry)
		}
		if len(lines) >= maxAllowed {
			return nil, fmt.Errorf("allow_file has %d lines, which is as many as the console writes", len(lines))
		}
		return append(lines, fmt.Sprintf("%s # %s %s: %s", entry, time.Now().UTC().Format(time.RFC3339), user, comment)), nil
	})
}

// disallow takes an entry out again.
func (s *server) disallow(ctx context.Context, entry string) error {
	if canonical, err := allowEntry(entry); err == nil {
		entry = canonical
	}
	return s.changeAllowFile(ctx, func(lines []string) ([]string, error) {
		left := slices.DeleteFunc(slices.Clone(lines), isAllowed(entry))
		if len(left) == len(lines) {
			return nil, fmt.Errorf("allow_file has no entry %q", entry)
		}
		return left, nil
	})
}

func isAllowed(entry string) func(line string) bool {
	return func(line string) bool {
		a, found := parseAllowed(line)
		if !found {
			return false
		}
		if canonical, err := allowEntry(a.Entry); err == nil {
			return canonical == entry
		}
		return a.Entry == entry
	}
}

// changeAllowFile replaces the file, and puts it in force.
func (s *server) changeAllowFile(ctx context.Context, change func(lines []string) ([]string, error)) error {
	s.allowing.Lock()
	defer s.allowing.Unlock()
	path, err := s.allowPath()
	if err != nil {
		return err
	}
	text, err := readAllowFile(path)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if lines, err = change(lines); err != nil {
		return err
	}
	if err := replaceFile(path, []byte(strings.Join(lines, "\n")+"\n")); err != nil {
		return fmt.Errorf("allow_file cannot be written: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), allowWithin)
	defer cancel()
	if err := s.lists.Refresh(ctx, configs.AllowFileList); err != nil {
		return fmt.Errorf("allow_file is written, and not in force yet: %w", err)
	}
	i := slices.IndexFunc(s.lists.Status(), func(l blocklist.Status) bool { return l.Name == configs.AllowFileList })
	if l := s.lists.Status()[max(i, 0)]; i < 0 || l.State != blocklist.StateOK {
		return fmt.Errorf("allow_file is written, and not in force: %s", l.Error)
	}
	return nil
}

func readAllowFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []byte(allowFileHead), nil
	}
	if err != nil {
		return nil, fmt.Errorf("allow_file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAllowFile+1))
	if err == nil && len(text) > maxAllowFile {
		err = fmt.Errorf("allow_file: found more than %d octets in %s, which is more than the console edits", maxAllowFile, path)
	}
	return text, err
}

// replaceFile puts a whole file in the place of another, whose mode it keeps.
func replaceFile(path string, text []byte) error {
	mode := os.FileMode(allowFileMode)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// allowEntry is what may be allowed, as lists write it. What would let through a large part of
// the network, or of all names, is a slip.
func allowEntry(text string) (string, error) {
	text = strings.TrimSpace(text)
	if p, err := netip.ParsePrefix(text); err == nil {
		least := leastAllowed4
		if p.Addr().Is6() {
			least = leastAllowed6
		}
		if p.Bits() < least || p.Addr().Is4In6() {
			return "", fmt.Errorf("found %s, expected a prefix of at least /%d for IPv4 and /%d for IPv6", p, leastAllowed4, leastAllowed6)
		}
		return p.Masked().String(), nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().WithZone("").String(), nil
	}
	wire, err := questionName(text)
	if err != nil {
		return "", err
	}
	name := format.Text(wire)
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return "", fmt.Errorf("found %q, expected a domain name of letters, digits, hyphens and underscores, an address or a prefix", text)
	}
	if suffix, _ := publicsuffix.PublicSuffix(name); suffix == name || name == "." {
		return "", fmt.Errorf("found %q, below which anybody may register a name, expected one below it", name)
	}
	return name, nil
}

// plainComment is a comment that stays on its line.
func plainComment(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if runes := []rune(text); len(runes) > maxAllowComment {
		text = string(runes[:maxAllowComment])
	}
	return text
}
