package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// fetcher makes candidates of what servers give.
type fetcher struct {
	client     *client
	store      *Store
	bounds     Bounds
	background func(func())
	log        *zap.Logger
}

// fetched is what became of one try. Exactly one of the two is there.
type fetched struct {
	candidate *Candidate
	current   *Validator // the basis is current, and from now on has this validator
}

// fetch asks for a list. Basis is the copy that the server is asked about; nil:
// there is none.
func (f *fetcher) fetch(ctx context.Context, list remote, basis *Copy) (fetched, error) {
	list, err := list.unlocked()
	if err != nil {
		return fetched{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.bounds.Total,
		fmt.Errorf("not finished after %s, expected the whole list by then: the server or the line is too slow", f.bounds.Total))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	question := ask{url: list.url, home: list.url, header: list.Header, secret: list.Secret}
	if basis != nil {
		question.validator = basis.Validator
	}
	resp, err := f.client.get(ctx, question)
	if err != nil {
		return fetched{}, err
	}
	if resp.StatusCode == http.StatusNotModified {
		resp.Body.Close()
		v := validatorOf(resp, basis.Validator)
		return fetched{current: &v}, nil
	}
	var candidate Candidate
	f.background(func() {
		candidate, err = f.receive(ctx, stop, list, resp, basis)
	})
	if err != nil {
		return fetched{}, err
	}
	return fetched{candidate: &candidate}, nil
}

// receive writes the body of an answer to the store.
func (f *fetcher) receive(ctx context.Context, stop context.CancelCauseFunc, list remote, resp *http.Response, basis *Copy) (Candidate, error) {
	from, err := newBody(ctx, stop, resp, list.Limits, f.bounds, f.progress(list, resp))
	if err != nil {
		return Candidate{}, err
	}
	defer from.close()
	head, err := from.head()
	if err != nil {
		return Candidate{}, err
	}
	if err := checkPage(list.url, resp, head); err != nil {
		return Candidate{}, err
	}

	to, err := f.store.Create(list.Name, list.URL)
	if err != nil {
		return Candidate{}, err
	}
	var detail json.RawMessage
	if isManifest(head) {
		detail, err = f.receiveParts(ctx, list, from, to, basis)
	} else {
		_, err = io.Copy(to, from)
	}
	if err != nil {
		to.Discard()
		return Candidate{}, err
	}
	return to.Finish(validatorOf(resp, Validator{}), detail)
}

// progress logs how far a long transfer has come.
func (f *fetcher) progress(list remote, resp *http.Response) func(int64) {
	start := time.Now()
	return func(octets int64) {
		fields := []zap.Field{zap.String("list", list.Name), zap.Int64("octets", octets), zap.Duration("since", time.Since(start))}
		if resp.ContentLength > 0 {
			fields = append(fields, zap.Int64("of", resp.ContentLength))
		}
		f.log.Info("list is being fetched", fields...)
	}
}
