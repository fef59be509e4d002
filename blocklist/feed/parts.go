package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"
)

const (
	// partsAtOnce is how many events of one feed are fetched at the same time.
	partsAtOnce = 4
	// partTries is how often one event is asked for: a feed has thousands, and one
	// slip must not throw all away.
	partTries = 3
	partPause = time.Second
)

// part is an event within the copy of a feed.
type part struct {
	document
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// partsDetail is the Detail of the copy of a feed.
type partsDetail struct {
	Parts []part `json:"misp_events"`
}

// receiveParts makes one document, {"response":[EVENT,...]}, of the events that
// a manifest names. Those that the basis has already are taken from there.
func (f *fetcher) receiveParts(ctx context.Context, list remote, manifest *body, to *Draft, basis *Copy) (json.RawMessage, error) {
	documents, err := parseManifest(manifest)
	if err != nil {
		if manifest.err != nil && !errors.Is(manifest.err, io.EOF) {
			err = manifest.err // it names the URL already
		} else {
			err = fmt.Errorf("%s: %w", shown(manifest.at), err)
		}
		return nil, err
	}
	before, err := openParts(f.store, list.Name, basis)
	if err != nil {
		return nil, err
	}
	defer before.close()

	ctx, cancel := context.WithCancel(ctx)
	incoming := f.fetchParts(ctx, list, manifest.at, documents, before)
	defer func() { // after cancel: what still comes is thrown away
		for p := range incoming {
			p.discard()
		}
	}()
	defer cancel()

	w := partsWriter{to: to, limit: list.Limits.File}
	for p := range incoming {
		if err := w.add(p, before); err != nil {
			return nil, err
		}
	}
	return w.finish()
}

// incomingPart is an event on its way into the copy.
type incomingPart struct {
	document
	old   *part         // it is in the basis already
	ready chan struct{} // else: closed when what follows holds
	draft *Draft
	err   error
	free  func()
}

func (p *incomingPart) discard() {
	if p.old != nil {
		return
	}
	<-p.ready
	if p.draft != nil {
		p.draft.Discard()
	}
	p.free()
}

// fetchParts gives the events in their order. At most partsAtOnce of them are
// being fetched or wait to be taken; each taken one is to be discarded.
func (f *fetcher) fetchParts(ctx context.Context, list remote, base *url.URL, documents []document, before *parts) <-chan *incomingPart {
	all := make(chan *incomingPart, partsAtOnce)
	slots := make(chan struct{}, partsAtOnce)
	go func() {
		defer close(all)
		for _, d := range documents {
			p := &incomingPart{document: d, old: before.find(d), ready: make(chan struct{}), free: func() { <-slots }}
			if p.old == nil {
				select {
				case slots <- struct{}{}:
				case <-ctx.Done():
					return
				}
				go func() {
					defer close(p.ready)
					p.draft, p.err = f.fetchPart(ctx, list, base, d)
				}()
			}
			select {
			case all <- p:
			case <-ctx.Done():
				p.discard()
				return
			}
		}
	}()
	return all
}

// fetchPart fetches one event.
func (f *fetcher) fetchPart(ctx context.Context, list remote, base *url.URL, d document) (*Draft, error) {
	at := base.ResolveReference(&url.URL{Path: d.UUID + ".json"})
	at.User = list.url.User
	for try := 1; ; try++ {
		draft, err := f.fetchDocument(ctx, list, at)
		if err == nil || try == partTries || ctx.Err() != nil || !isPassing(err) {
			return draft, err
		}
		select {
		case <-time.After(time.Duration(try) * partPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// isPassing tells whether it is worth to ask again at once.
func isPassing(err error) bool {
	r, refused := errors.AsType[*refusal](err)
	return !refused || r.status >= 500 && r.after == 0
}

func (f *fetcher) fetchDocument(ctx context.Context, list remote, at *url.URL) (*Draft, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	resp, err := f.client.get(ctx, ask{url: at, home: list.url, header: list.Header, secret: list.Secret})
	if err != nil {
		return nil, err
	}
	from, err := newBody(ctx, stop, resp, list.Limits, f.bounds, func(int64) {})
	if err != nil {
		return nil, err
	}
	defer from.close()
	head, err := from.head()
	if err == nil {
		err = checkPage(at, resp, head)
	}
	if err != nil {
		return nil, err
	}
	draft, err := f.store.Create(list.Name, list.URL)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(draft, from); err != nil {
		draft.Discard()
		return nil, err
	}
	return draft, nil
}

// parts is the copy that a feed was before, to take events from.
type parts struct {
	file *os.File // nil: there is none
	by   map[string]part
}

// openParts opens the basis, whose digest was found right.
func openParts(store *Store, name string, basis *Copy) (*parts, error) {
	p := &parts{by: map[string]part{}}
	if basis == nil || len(basis.Detail) == 0 {
		return p, nil
	}
	var detail partsDetail
	_ = json.Unmarshal(basis.Detail, &detail) // of another kind of source: then it names no events
	if len(detail.Parts) == 0 {
		return p, nil
	}
	var err error
	if p.file, err = os.Open(store.Path(name, *basis)); err != nil {
		return nil, storeError(err)
	}
	for _, old := range detail.Parts {
		if old.Offset >= 0 && old.Length > 0 && old.Offset <= basis.Size-old.Length {
			p.by[old.UUID] = old
		}
	}
	return p, nil
}

// find is the event as it was before, nil if it is new or has changed.
func (p *parts) find(d document) *part {
	old, found := p.by[d.UUID]
	if !found || d.Timestamp == "" || old.Timestamp != d.Timestamp {
		return nil
	}
	return &old
}

func (p *parts) close() {
	if p.file != nil {
		p.file.Close()
	}
}

// partsWriter puts events together.
type partsWriter struct {
	to     *Draft
	limit  int64
	detail partsDetail
}

// add appends an event, and discards it.
func (w *partsWriter) add(p *incomingPart, before *parts) error {
	defer p.discard()
	joint := ",\n"
	if len(w.detail.Parts) == 0 {
		joint = "{\"response\":[\n"
	}
	if _, err := io.WriteString(w.to, joint); err != nil {
		return err
	}
	start := w.to.Size()
	if err := w.content(p, before); err != nil {
		return err
	}
	if w.to.Size() > w.limit {
		return fmt.Errorf("event %s of the feed: the events before it and it are larger than %s, expected at most that much: the feed is too large", p.UUID, size(w.limit))
	}
	w.detail.Parts = append(w.detail.Parts, part{p.document, start, w.to.Size() - start})
	return nil
}

func (w *partsWriter) content(p *incomingPart, before *parts) error {
	if p.old != nil {
		_, err := io.Copy(w.to, io.NewSectionReader(before.file, p.old.Offset, p.old.Length))
		return err
	}
	<-p.ready
	if p.err != nil {
		return fmt.Errorf("event %s of the feed: %w", p.UUID, p.err)
	}
	text, err := p.draft.reader()
	if err != nil {
		return err
	}
	// One broken document would make all of them unreadable.
	if err := checkJSON(io.TeeReader(text, w.to)); err != nil {
		return fmt.Errorf("event %s of the feed is not whole JSON: %w", p.UUID, err)
	}
	return nil
}

func (w *partsWriter) finish() (json.RawMessage, error) {
	tail := "\n]}\n"
	if len(w.detail.Parts) == 0 {
		tail = "{\"response\":[]}\n"
	}
	if _, err := io.WriteString(w.to, tail); err != nil {
		return nil, err
	}
	return json.Marshal(w.detail)
}
