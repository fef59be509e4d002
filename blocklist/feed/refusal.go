package feed

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// refusal is an answer that is no list. After is how long the server wants to
// be left alone; 0: it did not say.
type refusal struct {
	message string
	status  int
	after   time.Duration
}

func (r *refusal) Error() string { return r.message }

// statusError words an answer by its status.
func statusError(at *url.URL, resp *http.Response, withSecret bool) error {
	r := &refusal{status: resp.StatusCode}
	var hint string
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = "the server wants a key: set the list's auth"
		if withSecret {
			hint = "the server does not accept the key: look at the list's auth.header and auth.secret_file"
		}
	case http.StatusNotFound, http.StatusGone:
		hint = "there is no such list: correct the URL"
	case http.StatusNotModified:
		hint = "the server says that nothing changed, though it was not asked that"
	case http.StatusTooManyRequests:
		hint = "the server is asked too often: set a longer refresh"
	case http.StatusProxyAuthRequired:
		hint = "the proxy wants a password: set it in HTTPS_PROXY"
	case http.StatusServiceUnavailable:
		hint = "the server has no time now"
	default:
		switch {
		case resp.StatusCode >= 500:
			hint = "the server has a fault"
		case resp.StatusCode < 300:
			hint = "that is no whole list"
		default:
			hint = "look at the URL in a browser"
		}
	}
	r.message = fmt.Sprintf("%s: status %s, expected 200: %s", shown(at), statusOf(resp), hint)
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		if r.after = retryAfter(resp.Header.Get("Retry-After"), time.Now()); r.after > 0 {
			r.message += fmt.Sprintf("; it asks to be left alone for %s", r.after)
		}
	}
	return r
}

// statusOf is the code with the name that the standard gives it: what the server
// calls it is anybody's text.
func statusOf(resp *http.Response) string {
	if name := http.StatusText(resp.StatusCode); name != "" {
		return fmt.Sprintf("%d (%s)", resp.StatusCode, strings.ToLower(name))
	}
	return strconv.Itoa(resp.StatusCode)
}

// retryAfter reads the header of that name, RFC 9110 section 10.2.3: seconds or
// a date. It is within 0 and maxRetryAfter.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return maxRetryAfter // more than an int holds
		}
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now).Round(time.Second), maxRetryAfter))
}
