package feed

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	maxManifest  = 16 << 20 // octets
	maxDocuments = 20_000
)

// document is one event of a MISP feed, as its manifest names it.
type document struct {
	UUID      string `json:"uuid"`
	Timestamp string `json:"timestamp"` // another one: the event has changed
}

// isManifest knows the manifest.json of a MISP feed by its first octets: a JSON
// object whose keys are UUIDs. No list looks like that.
func isManifest(head []byte) bool {
	rest, found := bytes.CutPrefix(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"), []byte("{"))
	if !found {
		return false
	}
	rest, found = bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(`"`))
	const uuid = 36
	if !found || len(rest) <= uuid || rest[uuid] != '"' || !isUUID(string(rest[:uuid])) {
		return false
	}
	rest, found = bytes.CutPrefix(bytes.TrimLeft(rest[uuid+1:], " \t\r\n"), []byte(":"))
	return found && bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte("{"))
}

// isUUID holds for what may be put into a URL as the name of a document.
func isUUID(s string) bool {
	groups := strings.Split(s, "-")
	if len(s) != 36 || len(groups) != 5 {
		return false
	}
	for i, length := range []int{8, 4, 4, 4, 12} {
		if _, err := hex.DecodeString(groups[i]); err != nil || len(groups[i]) != length {
			return false
		}
	}
	return true
}

// parseManifest reads the documents of a feed, ordered by their UUIDs.
func parseManifest(r io.Reader) ([]document, error) {
	limited := &io.LimitedReader{R: r, N: maxManifest + 1}
	d := json.NewDecoder(limited)
	all, err := readManifest(d)
	switch {
	case limited.N == 0:
		return nil, fmt.Errorf("the manifest is larger than %s, expected at most that much: the feed is too large", size(maxManifest))
	case err != nil:
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("not the manifest of a MISP feed at octet %d: %w", d.InputOffset(), err)
	case len(all) > maxDocuments:
		return nil, fmt.Errorf("the manifest names more than %d events, expected at most that many: the feed is too large", maxDocuments)
	}
	slices.SortFunc(all, func(a, b document) int { return strings.Compare(a.UUID, b.UUID) })
	for i := range len(all) - 1 {
		if all[i].UUID == all[i+1].UUID {
			return nil, fmt.Errorf("the manifest names the event %s twice, expected once", all[i].UUID)
		}
	}
	return all, nil
}

func readManifest(d *json.Decoder) ([]document, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("expected a JSON object"), err)
	}
	var all []document
	for d.More() && len(all) <= maxDocuments {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		uuid, _ := key.(string)
		if !isUUID(uuid) {
			return nil, fmt.Errorf("found the key %q, expected the UUID of an event", uuid[:min(len(uuid), 60)])
		}
		var event struct {
			Timestamp any `json:"timestamp"` // a string, and a number in some feeds
		}
		if err := d.Decode(&event); err != nil {
			return nil, err
		}
		all = append(all, document{UUID: uuid, Timestamp: stamp(event.Timestamp)})
	}
	if len(all) > maxDocuments {
		return all, nil
	}
	_, err := d.Token()
	if err == nil {
		err = nothingFollows(d)
	}
	return all, err
}

// stamp is the timestamp as text; empty for none, which is always another.
func stamp(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return fmt.Sprintf("%.0f", v)
	}
	return ""
}

// checkJSON reads one JSON object to its end, and nothing may follow it.
func checkJSON(r io.Reader) error {
	d := json.NewDecoder(r)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errors.New("expected a JSON object"), err)
	}
	for depth := 1; depth > 0; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("octet %d: %w", d.InputOffset(), err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nothingFollows(d)
}

func nothingFollows(d *json.Decoder) error {
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("octet %d: more after the end of the JSON object: expected nothing", d.InputOffset())
	}
	return nil
}
