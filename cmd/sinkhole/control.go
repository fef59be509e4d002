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
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"

	"sinkhole/blocklist"
	"sinkhole/configs"
)

// control answers the commands that speak to a running server: HTTP over a Unix
// socket in the journal's directory, mode 0600.
type control struct {
	path     string
	listener net.Listener
	http     http.Server
	log      *zap.Logger
}

// controlPath is the socket of the server that runs on a configuration. Two
// servers cannot have one journal, so they cannot meet there either.
func controlPath(c *configs.Config) string {
	return filepath.Join(c.Hits.Journal.Path, "sinkhole.sock")
}

// maxControl bounds the connections of commands.
const maxControl = 16

func listenControl(s *server) (*control, error) {
	c := &control{path: controlPath(s.started), log: s.log}
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
	c.listener = netutil.LimitListener(c.listener, maxControl)
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
	Changed    []string          `json:"changed,omitempty"`
	Restart    []string          `json:"restart_needed,omitempty"`
	Error      string            `json:"error,omitempty"`
}

func answerOf(u blocklist.Update) reloadAnswer {
	a := reloadAnswer{Indicators: u.Indicators, Added: u.Added, Removed: u.Removed, Took: u.Took.Round(time.Millisecond).String(), Failed: map[string]string{}}
	for name, err := range u.Failed {
		a.Failed[name] = err.Error()
	}
	return a
}

func (s *server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		r, err := s.reload()
		answer := answerOf(r.Update)
		answer.Changed, answer.Restart = r.Changed, r.Restart
		reply(w, answer, err)
	})
	mux.HandleFunc("POST /lists/refresh", func(w http.ResponseWriter, r *http.Request) {
		u, err := s.lists.Reload(r.URL.Query()["name"]...)
		reply(w, answerOf(u), err)
	})
	mux.HandleFunc("GET /lists", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.lists.Status())
	})
	return mux
}

func reply(w http.ResponseWriter, answer reloadAnswer, err error) {
	if err != nil {
		answer.Error = err.Error()
		writeJSON(w, http.StatusUnprocessableEntity, answer)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// controlWait bounds a command to a running server: a reload of large lists
// takes its time.
const controlWait = 10 * time.Minute

// ask speaks to the server that runs on a configuration, and decodes its answer.
func ask(file, method, path string, query url.Values, answer any) error {
	c, err := load(file)
	if err != nil {
		return err
	}
	socket := controlPath(c)
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
	request, err := http.NewRequest(method, "http://sinkhole"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
		return fmt.Errorf("no server answers at %s: is it running, and on this configuration? After a change of hits.journal.path send it SIGHUP (%w)", shortPath(socket), err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	return nil
}
