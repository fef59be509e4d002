package blocklist

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/guard"
)

// Approval is an operator's decision to let in what was held or refused: one
// entry of a list, or one content of it as a whole.
type Approval struct {
	Time    time.Time `json:"time"`
	User    string    `json:"user"`
	List    string    `json:"list"`
	Entry   string    `json:"entry,omitempty"`   // as package guard writes it
	Version string    `json:"version,omitempty"` // digest of the content approved
}

// What is what was approved, as it is shown: the entry, or the content.
func (a *Approval) What() string {
	if a.Entry != "" {
		return a.Entry
	}
	return "the content " + HeldVersion(a.Version)
}

// newApprovals keeps approvals in a store, or without one in memory.
func newApprovals(store *feed.Store) *approvals {
	return &approvals{store: store, byList: map[string]*approved{}}
}

// approvals are what was approved, by list. With a store they are kept in the
// list's directory, one JSON object a line.
type approvals struct {
	store *feed.Store

	mu     sync.Mutex
	byList map[string]*approved
}

type approved struct {
	all       []Approval
	overrides *guard.Overrides
}

const approvalsFile = "approvals.jsonl"

// path is where the approvals of a list are kept; "" where nothing is kept.
func (a *approvals) path(list string) (string, error) {
	if a.store == nil {
		return "", nil
	}
	dir, err := a.store.Dir(list)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, approvalsFile), nil
}

// of are the approvals of a list, read once.
func (a *approvals) of(list string) (*approved, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.byList[list]; known != nil {
		return known, nil
	}
	path, err := a.path(list)
	if err != nil {
		return nil, err
	}
	all, err := readApprovals(path)
	if err != nil {
		return nil, err
	}
	known := &approved{}
	if err := known.add(all...); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	a.byList[list] = known
	return known, nil
}

func readApprovals(path string) ([]Approval, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []Approval
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		var one Approval
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("%s:%d: found %q, expected an approval as a JSON object: repair or remove the line", path, n, lines.Text())
		}
		all = append(all, one)
	}
	return all, lines.Err()
}

func (k *approved) add(all ...Approval) error {
	joined := append(slices.Clone(k.all), all...)
	var entries []string
	for _, one := range joined {
		if one.Entry != "" {
			entries = append(entries, one.Entry)
		}
	}
	overrides, err := guard.NewOverrides(entries)
	if err != nil {
		return err
	}
	k.all, k.overrides = joined, overrides
	return nil
}

// overrides are the entries of a list that were approved.
func (a *approvals) overrides(list string) *guard.Overrides {
	known, err := a.of(list)
	if err != nil {
		return nil
	}
	return known.overrides
}

// has tells whether a content of a list was approved as a whole.
func (a *approvals) has(list, version string) bool {
	known, err := a.of(list)
	return err == nil && slices.ContainsFunc(known.all, func(one Approval) bool { return one.Version != "" && one.Version == version })
}

// dir is where what belongs to the list may lie that need not outlive the
// process; "": anywhere.
func (a *approvals) dir(list string) string {
	path, err := a.path(list)
	if err != nil || path == "" {
		return ""
	}
	return filepath.Dir(path)
}

// add records approvals of one list, on disk before they count.
func (a *approvals) add(list string, all ...Approval) error {
	known, err := a.of(list)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	next := &approved{all: known.all}
	if err := next.add(all...); err != nil {
		return err
	}
	path, err := a.path(list)
	if err != nil {
		return err
	}
	if err := appendApprovals(path, all); err != nil {
		return fmt.Errorf("the approval could not be recorded: %w", err)
	}
	a.byList[list] = next
	return nil
}

func appendApprovals(path string, all []Approval) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var lines []byte
	for _, one := range all {
		line, err := json.Marshal(one)
		if err != nil {
			return errors.Join(err, file.Close())
		}
		lines = append(append(lines, line...), '\n')
	}
	_, err = file.Write(lines)
	return errors.Join(err, file.Sync(), file.Close())
}

// Approvals are the decisions recorded about a list, in order of time.
func (l *Lists) Approvals(list string) ([]Approval, error) {
	known, err := l.approvals.of(list)
	if err != nil {
		return nil, err
	}
	return slices.Clone(known.all), nil
}

// tellApprovals logs what was approved of a list before, as it acts on.
func (l *Lists) tellApprovals(list string) {
	all, err := l.Approvals(list)
	if err != nil {
		l.options.Logger.Error("approvals of a list cannot be read: none of them acts", zap.String("list", list), zap.Error(err))
		return
	}
	if len(all) == 0 {
		return
	}
	var what []string
	for i := range all[:min(len(all), loggedApprovals)] {
		what = append(what, all[i].What())
	}
	newest := &all[len(all)-1]
	l.options.Logger.Info("approved before", zap.String("list", list), zap.Int("approvals", len(all)), zap.Strings("first", what),
		zap.Time("newest", newest.Time), zap.String("by", newest.User))
}

// loggedApprovals is how many approvals of a list are named in the log.
const loggedApprovals = 10

// Approve lets in entries that the guard held or refused in a list; user is who
// decided.
func (l *Lists) Approve(user, list string, entries ...string) (Update, error) {
	l.updating.Lock()
	defer l.updating.Unlock()
	spec := l.spec(list)
	if spec == nil {
		return Update{}, noList(list, l.Specs)
	}
	now := time.Now().UTC()
	var all []Approval
	for _, entry := range entries {
		name, err := l.keptOut(list, entry)
		if err != nil {
			return Update{}, err
		}
		all = append(all, Approval{Time: now, User: user, List: list, Entry: name})
	}
	if err := l.approvals.add(list, all...); err != nil {
		return Update{}, err
	}
	return l.update([]Spec{*spec}, causeReload), nil
}

// keptOut finds what the guard keeps out of a list by how an operator writes it.
func (l *Lists) keptOut(list, entry string) (string, error) {
	if _, err := guard.NewOverrides([]string{entry}); err != nil {
		return "", err
	}
	l.showing.Lock()
	s := l.state[list]
	l.showing.Unlock()
	for _, f := range slices.Concat(s.GuardHeld, s.GuardRefused) {
		if canonical(f.Text) == canonical(entry) {
			return f.Text, nil
		}
	}
	if s.Held+s.Kept > len(s.GuardHeld)+len(s.GuardRefused) {
		return canonical(entry), nil // not all that was kept out is remembered
	}
	return "", fmt.Errorf("the guard keeps no entry %q out of the list %s: `sinkhole lists show %s` names those that it does", entry, list, list)
}

// canonical writes an entry in one way: "*.name" as name, since an approval is of
// the name, and prefixes of one address as that address.
func canonical(entry string) string {
	if prefix, err := netip.ParsePrefix(entry); err == nil {
		if prefix = prefix.Masked(); prefix.IsSingleIP() {
			return prefix.Addr().String()
		}
		return prefix.String()
	}
	if addr, err := netip.ParseAddr(entry); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(entry, "*."), "."))
}

func noList(name string, specs []Spec) error {
	return fmt.Errorf("no list is named %q: expected one of %q", name, namesOf(specs))
}

// ApproveHeld lets in the content of a list that is held as a whole. version is
// what of it the user has looked at, see [HeldVersion]: what else the source may
// have given since is not let in. approved is the whole of its digest.
func (l *Lists) ApproveHeld(user, list, version string) (u Update, approved string, err error) {
	l.updating.Lock()
	defer l.updating.Unlock()
	spec := l.spec(list)
	if spec == nil {
		return Update{}, "", noList(list, l.Specs)
	}
	held, err := l.heldAs(list, version)
	if err != nil {
		return Update{}, "", err
	}
	if err := l.approvals.add(list, Approval{Time: time.Now().UTC(), User: user, List: list, Version: held}); err != nil {
		return Update{}, "", err
	}
	if isLocal(spec.Source) {
		// The files may be others by now: they are judged anew, and only this content
		// is approved.
		return l.update([]Spec{*spec}, causeReload), held, nil
	}
	if err := l.network.approve(spec, held); err != nil {
		return Update{}, "", err
	}
	return l.update([]Spec{*spec}, causeApproved), held, nil
}

// heldAs is the digest of what is held of a list if version means it.
func (l *Lists) heldAs(list, version string) (string, error) {
	d := l.Diff(list)
	look := fmt.Sprintf("`sinkhole lists diff %s` shows what is, and the command that lets it in", list)
	switch {
	case d == nil || d.Held == "":
		return "", fmt.Errorf("nothing of the list %s is held: name an entry to let in what the guard keeps out", list)
	case version == "":
		return "", fmt.Errorf("which content of the list %s is approved has to be said, since another may be held by now: %s", list, look)
	case len(version) < len(HeldVersion(d.Version)) || !strings.HasPrefix(version, digestPrefix):
		return "", fmt.Errorf("found the version %q, expected %s and at least %d digits of the digest of what is held: %s", version, digestPrefix, shownDigits, look)
	case !strings.HasPrefix(d.Version, version):
		return "", fmt.Errorf("the content %s of the list %s is not, or not any more, what is held: look again, %s", HeldVersion(version), list, look)
	}
	return d.Version, nil
}

const (
	digestPrefix = "sha256:"
	// shownDigits are those of a digest that an approval needs at least. With fewer
	// a source could make two contents of one version: one to be looked at, the
	// other to be let in.
	shownDigits = 32
)

// HeldVersion is so much of a content's digest as [Lists.ApproveHeld] needs to
// know it by.
func HeldVersion(digest string) string {
	return digest[:min(len(digest), len(digestPrefix)+shownDigits)]
}
