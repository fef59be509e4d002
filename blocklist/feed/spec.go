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
	// SecretFile is read for each fetch and gives the secret in place of Secret.
	SecretFile string
	Limits     Limits
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
	if r.SecretFile != "" {
		r.Secret = unread
	}
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

// unread stands for a secret that is read when it is needed: base64 as well.
const unread = "AAAA"

// unlocked is the list with the secret as it is now.
func (r remote) unlocked() (_ remote, err error) {
	if r.SecretFile == "" {
		return r, nil
	}
	if r.Secret, err = readSecret(r.SecretFile); err == nil {
		err = checkSecret(r.Header, r.Secret)
	}
	return r, err
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
		return nil, fmt.Errorf("%w: expected https://host/path", urlFault(raw, err))
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

// CheckSecret tells whether a secret can be sent in this header; both empty:
// none is. Its error does not show the secret.
func CheckSecret(header, secret string) error { return checkSecret(header, strings.TrimSpace(secret)) }

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
