package feed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxRedirects bounds the way from the URL to the list.
const maxRedirects = 5

// maxHeader bounds the header of an answer.
const maxHeader = 64 << 10

// client asks servers for lists. It does not follow where a list must not come
// from, and keeps no cookies.
type client struct {
	transport *http.Transport
	agent     string
}

func newClient(o RemoteOptions) *client {
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	bounds := o.Bounds
	return &client{agent: o.UserAgent, transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, bounds.Connect)
			defer cancel()
			return dial(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    bounds.Connect,
		ResponseHeaderTimeout:  bounds.Header,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // we ask for it and bound it ourselves
		ForceAttemptHTTP2:      true,
		IdleConnTimeout:        10 * time.Second,
		MaxIdleConnsPerHost:    partsAtOnce,
	}}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// ask is one question for a document.
type ask struct {
	url            *url.URL
	header, secret string
	// home is the URL whose host may see the secret.
	home      *url.URL
	validator Validator // zero: the document is wanted in any case
}

// get asks and follows redirects. The answer has the status 200, or 304 if the
// validator was sent; its Request.URL is the one that answered. The caller
// closes its body.
func (c *client) get(ctx context.Context, a ask) (*http.Response, error) {
	at := a.url
	home := isHome(a.home, at)
	for hop := 0; ; hop++ {
		resp, err := c.once(ctx, a, at, home)
		if err != nil {
			return nil, explainNetwork(ctx, at, err)
		}
		if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNotModified && isConditional(resp.Request) {
			return resp, nil
		}
		resp.Body.Close()
		if !isRedirect(resp) {
			return nil, statusError(at, resp, a.header != "")
		}
		if hop == maxRedirects {
			return nil, fmt.Errorf("%s: more than %d redirects: correct the URL to where the list is", shown(a.url), maxRedirects)
		}
		if at, err = redirectTarget(at, resp); err != nil {
			return nil, err
		}
		// Whoever led us elsewhere must not lead the secret back.
		if home = home && isHome(a.home, at); home {
			at.User = a.home.User
		}
	}
}

// once sends one request. The secret goes along only where home is true.
func (c *client) once(ctx context.Context, a ask, at *url.URL, home bool) (*http.Response, error) {
	to := *at
	to.User = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("Accept-Encoding", "gzip, zstd")
	if home {
		if at.User != nil {
			password, _ := at.User.Password()
			req.SetBasicAuth(at.User.Username(), password)
		}
		if a.header != "" {
			req.Header.Set(a.header, a.secret)
		}
	}
	if a.validator.URL == resource(&to) {
		setIf(req.Header, "If-None-Match", a.validator.ETag)
		setIf(req.Header, "If-Modified-Since", a.validator.LastModified)
	}
	return c.transport.RoundTrip(req)
}

func setIf(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

func isConditional(req *http.Request) bool {
	return req.Header.Get("If-None-Match") != "" || req.Header.Get("If-Modified-Since") != ""
}

// resource is the URL that a validator belongs to: without the query, since the
// signed URLs that large hosts redirect to have another one each time.
func resource(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// maxValidator bounds what a server has us keep and send.
const maxValidator = 1 << 10

// validatorOf is what the server is asked with the next time. A 304 may leave
// out what it has not changed.
func validatorOf(resp *http.Response, before Validator) Validator {
	sendable := func(name string) string {
		value := resp.Header.Get(name)
		if len(value) > maxValidator || strings.ContainsFunc(value, isControl) {
			return ""
		}
		return value
	}
	v := Validator{
		ETag:         sendable("ETag"),
		LastModified: sendable("Last-Modified"),
		URL:          resource(resp.Request.URL),
	}
	if resp.StatusCode == http.StatusNotModified && before.URL == v.URL {
		if v.ETag == "" {
			v.ETag = before.ETag
		}
		if v.LastModified == "" {
			v.LastModified = before.LastModified
		}
	}
	return v
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isHome tells whether the secret may go to at.
func isHome(home, at *url.URL) bool {
	return at.Scheme == home.Scheme && strings.EqualFold(at.Hostname(), home.Hostname()) && port(at) == port(home)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirectTarget is where a redirect leads.
func redirectTarget(at *url.URL, resp *http.Response) (*url.URL, error) {
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, fmt.Errorf("%s: status %d without a Location, expected the list: look at the URL in a browser", shown(at), resp.StatusCode)
	}
	to, err := at.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("%s: redirects to what is no URL, expected the list: look at the URL in a browser", shown(at))
	}
	if to.Scheme != "https" || to.Hostname() == "" {
		return nil, fmt.Errorf("%s: redirects to %s, expected https: whoever stands between could change the list", shown(at), shown(to))
	}
	to.User, to.Fragment = nil, ""
	return to, nil
}

// explainNetwork words what kept an answer from coming.
func explainNetwork(ctx context.Context, at *url.URL, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var advice string
	var unknown *net.DNSError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &certificate):
		advice = ": the server's certificate is not accepted: correct the URL, or let this machine trust its authority"
	case errors.As(err, &unknown) && unknown.IsNotFound:
		advice = ": there is no such host: correct the URL"
	case errors.As(err, &timeout) && timeout.Timeout():
		advice = ": the server did not answer in time"
	}
	return fmt.Errorf("%s: cannot be fetched%s (%w)", shown(at), advice, err)
}
