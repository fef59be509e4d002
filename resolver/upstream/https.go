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
	"sync/atomic"
	"time"
)

const (
	dnsMessage = "application/dns-message" // RFC 8484 section 6
	// maxFields bounds the header of a response, in octets.
	maxFields = 16 << 10
)

// requests is a line over HTTPS: a client with one connection. Over HTTP/2 it
// carries many requests at a time, over HTTP/1.1 one.
type requests struct {
	client *http.Client
	url    string
	conn   *tls.Conn
	taken  atomic.Bool // the client has the connection
	many   int         // requests at a time
}

func newRequests(url string, conn *tls.Conn, lost func()) *requests {
	r := &requests{url: url, conn: conn, many: 1}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		r.many = maxQueries
	}
	conn.NetConn().(*counted).lost = lost
	r.client = &http.Client{
		Transport: &http.Transport{
			DialTLSContext: r.take,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("not over plain HTTP")
			},
			HTTP2:                  &http.HTTP2Config{StrictMaxConcurrentRequests: true},
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxConnsPerHost:        1,
			MaxResponseHeaderBytes: maxFields,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return r
}

// take hands over the connection. Who asks again finds that it takes no further
// request: the server has said so, or has closed it.
func (r *requests) take(context.Context, string, string) (net.Conn, error) {
	if r.taken.Swap(true) {
		return nil, &lostError{failure: failuref(causeNetwork, "the server closed the connection"), full: true}
	}
	return r.conn, nil
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

// explainHTTPS makes the end of a connection of what is not the end of ctx.
func explainHTTPS(ctx context.Context, err error) error {
	if lost, ok := errors.AsType[*lostError](err); ok {
		return lost
	}
	if ctx.Err() != nil {
		return explain(ctx, "receive", ctx.Err())
	}
	if in, ok := errors.AsType[*url.Error](err); ok {
		err = in.Err
	}
	return &lostError{failure: explain(ctx, "HTTP exchange", err)}
}

func (r *requests) places() int         { return r.many }
func (r *requests) late() int           { return 0 }
func (r *requests) idle() time.Duration { return idleAfter }

func (r *requests) close() {
	r.client.CloseIdleConnections() // with a word of goodbye
	r.conn.NetConn().Close()
}
