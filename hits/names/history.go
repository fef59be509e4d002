package names

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// reverseSource stands in the place of a file, for names from reverse DNS.
const reverseSource = "ptr"

// history is the file of what leases there were: a line of JSON for each, the last one that
// begins at a time counts.
type history struct {
	path  string
	write bool
	lines int  // in the file
	whole bool // it has to be written anew: it has what is not so any more
}

// historyLine is a line of the file.
type historyLine struct {
	Address string `json:"address"`
	MAC     string `json:"mac,omitempty"`
	Name    string `json:"name,omitempty"`
	Source  string `json:"source"`
	From    int64  `json:"from"`            // Unix nanoseconds
	Until   int64  `json:"until,omitempty"` // 0: no end
}

func (h *history) load(leases, named *holders) error {
	if h.path == "" {
		return nil
	}
	f, err := os.Open(h.path)
	if err != nil {
		return err
	}
	defer f.Close()
	found := map[*holders]map[netip.Addr]timeline{leases: {}, named: {}}
	err = eachLine(f, func(text []byte, err error) bool {
		h.lines++
		var l historyLine
		if err != nil || json.Unmarshal(text, &l) != nil {
			h.whole = true // a line that a crash cut off
			return true
		}
		a, err := netip.ParseAddr(l.Address)
		if err != nil {
			h.whole = true
			return true
		}
		of := found[leases]
		if l.Source == reverseSource {
			of = found[named]
		}
		x := held{from: l.From, until: cmp.Or(l.Until, never), mac: parseMAC(l.MAC), name: hostName(l.Name), source: l.Source}
		t := slices.DeleteFunc(of[a], func(o held) bool { return o.from == x.from })
		of[a] = append(t, x)
		return true
	})
	for o, all := range found {
		for a, t := range all {
			slices.SortFunc(t, func(a, b held) int { return cmp.Compare(a.from, b.from) })
			o.put(a, t)
		}
		clear(o.dirty)
	}
	return err
}

// pending is what has to be written: lines to append, or the whole file.
func (h *history) pending(of ...*holders) (text []byte, whole bool) {
	count := 0
	for _, o := range of {
		count += o.count
		for a, before := range o.dirty {
			for _, e := range before {
				if !slices.ContainsFunc(o.by[a], func(x held) bool { return x.from == e.from }) {
					h.whole = true // what is no more cannot be said by a line
				}
			}
		}
	}
	h.whole = h.whole || h.lines > 2*count+1024
	var lines int
	for _, o := range of {
		if h.whole {
			for a, t := range o.by {
				for i := range t {
					text, lines = appendLine(text, a, &t[i]), lines+1
				}
			}
		} else {
			for a, before := range o.dirty {
				for i, x := range o.by[a] {
					if !slices.Contains(before, x) {
						text, lines = appendLine(text, a, &o.by[a][i]), lines+1
					}
				}
			}
		}
		clear(o.dirty)
	}
	whole = h.whole
	if h.lines += lines; whole {
		h.lines = lines
	}
	h.whole = false
	return text, whole
}

func appendLine(text []byte, a netip.Addr, x *held) []byte {
	l := historyLine{Address: a.String(), Name: x.name, Source: x.source, From: x.from, Until: x.until}
	if x.mac != (mac{}) {
		l.MAC = x.mac.String()
	}
	if x.until == never {
		l.Until = 0
	}
	line, err := json.Marshal(l)
	if err != nil {
		return text // of such values it does not fail
	}
	return append(append(text, line...), '\n')
}

// historyMode is the journal's: it names clients.
const historyMode = 0o640

func (h *history) store(text []byte, whole bool) error {
	switch {
	case whole:
		return h.replace(text)
	case len(text) == 0:
		return nil
	}
	f, err := os.OpenFile(h.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, historyMode)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Size() > 0 { // a write that went half
		var last [1]byte
		if _, err := f.ReadAt(last[:], info.Size()-1); err == nil && last[0] != '\n' {
			text = slices.Concat([]byte{'\n'}, text)
		}
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// replace writes the file anew, also over a power cut.
func (h *history) replace(text []byte) (err error) {
	if len(bytes.TrimSpace(text)) == 0 {
		if err = os.Remove(h.path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(h.path), filepath.Base(h.path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(historyMode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), h.path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
