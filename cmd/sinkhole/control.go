package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"

	"sinkhole/blocklist"
)

// control answers the commands that speak to a running server: HTTP over a Unix
// socket in the journal's directory, mode 0600.
type control struct {
	path     string
	listener net.Listener
	http     http.Server
	log      *zap.Logger
}

// controlPath is the socket of the server that has a journal. Two servers cannot
// have one, so they cannot meet there either.
func controlPath(journal string) string { return filepath.Join(journal, "sinkhole.sock") }

// maxControl bounds the connections of commands.
const maxControl = 16

func listenControl(s *server) (*control, error) {
	c := &control{path: controlPath(s.started.Hits.Journal.Path), log: s.log}
	// The journal's lock says that no other server uses this directory: a socket
	// that stands there is left over.
	if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("hits.journal.path: cannot remove an old control socket: %w", err)
	}
	err := atDirectory(c.path, func(path string) (err error) {
		if c.listener, err = net.Listen("unix", path); err != nil {
			return err
		}
		c.listener.(*net.UnixListener).SetUnlinkOnClose(false)
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		return nil, fmt.Errorf("hits.journal.path: cannot make the control socket: %w", err)
	}
	c.listener = netutil.LimitListener(peerListener{c.listener}, maxControl)
	c.http = http.Server{Handler: s.controlHandler(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: zap.NewStdLog(s.log)}
	return c, nil
}

func (c *control) serve() {
	go func() {
		if err := c.http.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
			c.log.Error("control socket stopped", zap.Error(err))
		}
	}()
}

func (c *control) close() {
	c.http.Close()
	c.listener.Close()
	_ = os.Remove(c.path) // left over, it would be removed by the next start
}

// reloadAnswer is what a reload did, as the command prints it.
type reloadAnswer struct {
	Indicators int               `json:"indicators"`
	Added      int               `json:"added"`
	Removed    int               `json:"removed"`
	Took       string            `json:"took"`
	Failed     map[string]string `json:"failed,omitempty"`
	Fetching   []string          `json:"fetching,omitempty"` // for the first time
	Held       map[string]string `json:"held,omitempty"`
	Changed    []string          `json:"changed,omitempty"`
	Restart    []string          `json:"restart_needed,omitempty"`
}

func answerOf(u blocklist.Update) reloadAnswer {
	a := reloadAnswer{
		Indicators: u.Indicators, Added: u.Added, Removed: u.Removed, Took: u.Took.Round(time.Millisecond).String(),
		Failed: map[string]string{}, Fetching: u.Fetching, Held: u.Held,
	}
	for name, err := range u.Failed {
		a.Failed[name] = err.Error()
	}
	return a
}

func (s *server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, answer func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := answer(r)
			reply(w, v, err)
		})
	}
	handle("POST /reload", func(*http.Request) (any, error) {
		r, err := s.reload()
		answer := answerOf(r.Update)
		answer.Changed, answer.Restart = r.Changed, r.Restart
		return answer, err
	})
	handle("GET /lists", s.answerLists)
	handle("POST /lists/refresh", s.answerRefresh)
	handle("GET /lists/diff", s.answerDiff)
	handle("POST /lists/approve", s.answerApprove)
	handle("GET /cache", s.answerCached)
	handle("POST /cache/flush", s.answerFlush)
	mux.HandleFunc("GET /lists/export", s.answerExport)
	return mux
}

// refusal is the answer to what cannot be done.
type refusal struct {
	Error string `json:"error"`
}

func reply(w http.ResponseWriter, answer any, err error) {
	if err != nil {
		writeJSON(w, http.StatusUnprocessableEntity, refusal{err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// controlWait bounds a command to a running server: a reload of large lists, or
// fetching them, takes its time.
const controlWait = 30 * time.Minute

// errNoServer says that no server runs on a configuration.
var errNoServer = errors.New("no server answers")

// ask speaks to the server that runs on a configuration, and decodes its answer.
func ask(file, method, path string, query url.Values, answer any) error {
	journal, err := journalPath(file, os.Stderr)
	if err != nil {
		return err
	}
	response, err := request(context.Background(), journal, method, path, query)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	return nil
}

// request speaks to the server that has a journal. The caller closes the answer's
// body. What the server refuses is an error.
func request(ctx context.Context, journal, method, path string, query url.Values) (*http.Response, error) {
	socket := controlPath(journal)
	client := http.Client{Timeout: controlWait, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
			err = atDirectory(socket, func(path string) (err error) {
				var d net.Dialer
				conn, err = d.DialContext(ctx, "unix", path)
				return err
			})
			return conn, err
		},
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://sinkhole"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, notAnswered(socket, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	var no refusal
	if err := json.NewDecoder(response.Body).Decode(&no); err != nil || no.Error == "" {
		return nil, fmt.Errorf("the server answered %s: is it of another version than this command?", response.Status)
	}
	return nil, errors.New(no.Error)
}

// notAnswered words why there is no answer.
func notAnswered(socket string, err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: permission denied: run this as the user that the server runs as, or as root", shortPath(socket))
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w at %s: is it running, and on this configuration? After a change of hits.journal.path send it SIGHUP (%w)", errNoServer, shortPath(socket), err)
	}
	return fmt.Errorf("the server at %s gave no answer: %w", shortPath(socket), err)
}
