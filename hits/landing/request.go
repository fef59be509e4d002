package landing

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sinkhole/hits"
)

// longestMethod bounds the word that a request begins with.
const longestMethod = 16

// request answers an HTTP request; false where it is none.
func (l *Landing) request(v *visit, c *hits.Connection) bool {
	for n := 1; ; n++ {
		if !v.look(n) {
			return false
		}
		b := v.unread[n-1]
		if b == ' ' && n > 1 {
			break
		}
		if b != '-' && (b < 'A' || 'Z' < b) || n > longestMethod { // RFC 9110 section 9.1 allows more; nobody has it
			return false
		}
	}
	r, err := http.ReadRequest(bufio.NewReader(v))
	if err != nil {
		return false
	}
	c.Protocol = "http"
	describe(c, r)
	if r.Header.Get("Expect") == "" {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	l.answer(v, r)
	return true
}

func describe(c *hits.Connection, r *http.Request) {
	c.Method, c.Version = text(r.Method), fmt.Sprintf("%d.%d", r.ProtoMajor, r.ProtoMinor)
	c.Host = host(r.Host)
	c.Path = text(r.URL.EscapedPath())
	if r.Method == http.MethodConnect {
		c.Path = ""
	}
	c.UserAgent, c.Referrer = text(r.UserAgent()), text(referrer(r.Referer()))
	if q := r.URL.RawQuery; q != "" {
		c.Query, c.HasQuery = sha256.Sum256([]byte(q)), true
	}
}

// answer writes the notice, and waits a little for the client to close.
func (l *Landing) answer(v *visit, r *http.Request) {
	n := l.o.Notice
	reply := http.Response{
		StatusCode: http.StatusForbidden, ProtoMajor: 1, ProtoMinor: 1, Request: r, Close: true, Header: http.Header{
			"Content-Type": {n.contentType}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}, "Referrer-Policy": {"no-referrer"},
			"Content-Security-Policy": {"default-src 'none'; style-src 'unsafe-inline'; img-src data:"},
			"Date":                    {time.Now().UTC().Format(http.TimeFormat)},
		},
		ContentLength: int64(len(n.text)), Body: io.NopCloser(bytes.NewReader(n.text)),
	}
	var whole bytes.Buffer
	if reply.Write(&whole) != nil {
		return
	}
	if _, err := v.Write(whole.Bytes()); err != nil {
		return
	}
	if half, ok := v.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = v.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.Copy(io.Discard, v)
	}
}

// Texts of clients are kept up to these lengths, in octets.
const (
	longestText = 1024
	longestName = 255
)

func text(s string) string { return s[:min(len(s), longestText)] }

// name is a host name in the form of the journal's names, as far as it is one.
func name(s string) string {
	s = s[:min(len(s), longestName)]
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

// host is Host without the port.
func host(s string) string {
	if h, _, err := net.SplitHostPort(s); err == nil {
		s = h
	}
	return name(strings.Trim(s, "[]"))
}

// referrer has neither a query string nor a password.
func referrer(s string) string {
	s, _, _ = strings.Cut(s, "#")
	s, _, _ = strings.Cut(s, "?")
	if u, err := url.Parse(s); err == nil && u.User != nil {
		u.User = nil
		s = u.String()
	}
	return s
}
