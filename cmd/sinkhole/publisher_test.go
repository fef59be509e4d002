package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// publisher is the server of lists of one script, at $LISTS.
type publisher struct{ server *http.Server }

type publisherKey struct{}

// cmdPublish serves the files of a directory over HTTP, with their digests as
// entity tags: they change within a second.
func cmdPublish(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", ts.Getenv("LISTS"))
	ts.Check(err)
	p := ts.Value(publisherKey{}).(*publisher)
	dir := ts.MkAbs(args[0])
	p.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(filepath.Join(dir, filepath.Base(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(text))))
		http.ServeContent(w, r, "list.txt", time.Time{}, bytes.NewReader(text))
	})}
	go func() { _ = p.server.Serve(l) }()
	ts.Defer(func() { _ = p.server.Close() })
}

// cmdWithdraw ends the server of lists.
func cmdWithdraw(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value(publisherKey{}).(*publisher).server.Close())
}
