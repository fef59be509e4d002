package feed

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// RemoteSpec is a list that comes over HTTPS.
type RemoteSpec struct {
	Name string // of the list
	URL  string // see [CheckURL]
	// Refresh is how often the server is asked, default 1 h, at least 1 min.
	Refresh time.Duration
	// Header and Secret are sent with each request, but to no other host than
	// that of the URL. Empty: none. The secret appears nowhere else.
	Header, Secret string
	Limits         Limits
}

const (
	defaultRefresh = time.Hour
	minRefresh     = time.Minute
)

// remote is a spec that was found right.
type remote struct {
	RemoteSpec
	url *url.URL
}

func (s RemoteSpec) check() (remote, error) {
	r := remote{RemoteSpec: s}
	var err error
	if r.url, err = parseURL(s.URL); err != nil {
		return r, err
	}
	r.Secret = strings.TrimSpace(r.Secret)
	if err := checkSecret(r.Header, r.Secret); err != nil {
		return r, err
	}
	if r.Refresh <= 0 {
		r.Refresh = defaultRefresh
	}
	r.Refresh = max(r.Refresh, minRefresh)
	r.Limits = r.Limits.withDefaults()
	return r, nil
}

// CheckURL tells whether a list can be fetched from this URL: https with any
// host, or http with a loopback address, where nobody can come between.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The error of net/url repeats the URL, and with it what is secret of it.
		if fault, ok := errors.AsType[*url.Error](err); ok {
			err = fault.Err
		}
		return nil, fmt.Errorf("not a URL (%w): expected https://host/path", err)
	}
	switch {
	case u.Scheme == "http" && !isLoopback(u):
		return nil, fmt.Errorf("%s: plain http, expected https://: whoever stands between could change the list", shown(u))
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s: scheme %q, expected https", shown(u), u.Scheme)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s: no host, expected https://host/path", shown(u))
	}
	u.Fragment = ""
	return u, nil
}

func isLoopback(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// shown is a URL as messages may show it: what stands before the host or behind
// the path may be a key.
func shown(u *url.URL) string {
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, Opaque: u.Opaque}
	if u.RawQuery != "" {
		return bare.String() + "?..."
	}
	return bare.String()
}

// checkSecret never names the secret in its error.
func checkSecret(header, secret string) error {
	switch {
	case header == "" && secret == "":
		return nil
	case header == "":
		return errors.New("a secret without the name of its header: set auth.header")
	case secret == "":
		return fmt.Errorf("no secret for the header %s: expected one line in auth.secret_file", header)
	case strings.Trim(header, headerOctets) != "":
		return fmt.Errorf("%q is no name of a header: expected one such as Authorization or X-API-Key", header)
	case slices.ContainsFunc(ownHeaders(), func(own string) bool { return strings.EqualFold(own, header) }):
		return fmt.Errorf("the header %s is set by the client itself: expected one such as Authorization or X-API-Key", header)
	case strings.ContainsFunc(secret, isControl):
		return fmt.Errorf("the secret for the header %s has a control character or several lines: expected one line", header)
	}
	return nil
}

// headerOctets are those of a token, RFC 9110 section 5.6.2.
const headerOctets = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func ownHeaders() []string {
	return []string{"Host", "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "TE", "Upgrade", "Keep-Alive",
		"Proxy-Connection", "Accept-Encoding", "Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"}
}
