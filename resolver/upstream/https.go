package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	dnsMessage = "application/dns-message" // RFC 8484 section 6
	// maxFields bounds the header of a response, in octets.
	maxFields = 16 << 10
	// maxClients is how many clients a server has at a time, all but one of them on
	// their way out.
	maxClients = 4
)

// requests is a line over HTTPS: one client, whose connections are its own affair;
// over HTTP/2 it has one.
type requests struct {
	client *http.Client
	url    string

	mu    sync.Mutex
	conns []*tls.Conn
}

// newRequests makes a line that connects with dial when it is asked.
func newRequests(url string, dial func(context.Context) (*tls.Conn, error)) *requests {
	r := &requests{url: url}
	r.client = &http.Client{
		Transport: &http.Transport{
			DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return r.connect(ctx, dial) },
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("not over plain HTTP")
			},
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxConnsPerHost:        maxLines,
			MaxIdleConnsPerHost:    maxLines,
			IdleConnTimeout:        idleAfter,
			MaxResponseHeaderBytes: maxFields,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return r
}

// connect keeps the connection at hand for close.
func (r *requests) connect(ctx context.Context, dial func(context.Context) (*tls.Conn, error)) (net.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(slices.DeleteFunc(r.conns, func(c *tls.Conn) bool { return c.NetConn().(*counted).closed.Load() }), conn)
	return conn, nil
}

func (r *requests) ask(ctx context.Context, q query) ([]byte, error) {
	q.setID(0) // RFC 8484 section 4.1
	// A copy: the client may read it for a moment longer.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(slices.Clone(q.msg)))
	if err != nil {
		return nil, failuref(causeLocal, "make a request: %v", err)
	}
	request.Header = http.Header{"Content-Type": {dnsMessage}, "Accept": {dnsMessage}, "User-Agent": {""}}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, explainHTTPS(ctx, err)
	}
	defer response.Body.Close()
	if err := checkResponse(response); err != nil {
		return nil, err
	}
	msg, err := io.ReadAll(io.LimitReader(response.Body, maxMsg+1))
	switch {
	case err != nil:
		return nil, explainHTTPS(ctx, err)
	case len(msg) > maxMsg:
		return nil, tooLong()
	}
	if age, err := strconv.ParseUint(response.Header.Get("Age"), 10, 32); err == nil {
		growOlder(msg, uint32(age))
	}
	return msg, nil
}

func checkResponse(response *http.Response) error {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch code := response.StatusCode; {
	case code >= 300 && code < 400:
		return failuref(causeNetwork, "the server answered with HTTP status %d, a redirection, which is not followed; configure the URL that it leads to", code)
	case code != http.StatusOK:
		return failuref(causeNetwork, "the server answered with HTTP status %d %s, expected 200", code, http.StatusText(code))
	case err != nil || kind != dnsMessage:
		return failuref(causeMalformed, "the server answered with content of type %.60q, expected %s", response.Header.Get("Content-Type"), dnsMessage)
	case response.ContentLength > maxMsg:
		return tooLong()
	}
	return nil
}

func tooLong() error {
	return failuref(causeMalformed, "the server answered with more than %d octets", maxMsg)
}

// explainHTTPS tells a server that could not be connected to from a connection
// that ended under the request.
func explainHTTPS(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if ctx.Err() != nil {
		return explain(ctx, "receive", ctx.Err())
	}
	if in, ok := errors.AsType[*url.Error](err); ok {
		err = in.Err
	}
	return &lostError{failure: explain(ctx, "HTTP exchange", err)}
}

func (r *requests) late() int           { return 0 }
func (r *requests) idle() time.Duration { return idleAfter }

// close ends all connections: the pool closes a line of this kind when nobody
// waits on it, and one that was lost under a query at once.
func (r *requests) close() {
	r.client.CloseIdleConnections()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		conn.NetConn().Close()
	}
	r.conns = nil
}
