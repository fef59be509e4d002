package resolver

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"sinkhole/resolver/wire"
)

const (
	dohPath      = "/dns-query"
	dohMediaType = "application/dns-message"
	// maxHeaderBytes bounds the head of an HTTP request: room for a query of maxQuery
	// octets in base64url.
	maxHeaderBytes = 16 << 10
)

// doh answers DNS over HTTPS (RFC 8484) for one version of HTTP.
type doh struct {
	answer    *handler
	encrypted *encrypted
	altSvc    string // where HTTP/3 is offered, for clients that do not speak it yet
	// counted says that the listener has counted the query when its stream came.
	counted bool
}

// misuse is a request that is no DNS over HTTPS.
type misuse struct {
	status int
	text   string
}

func (m *misuse) Error() string { return m.text }

// ServeHTTP implements [http.Handler]. The client is the connection's other end: no
// header is believed about it.
func (d *doh) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer d.survive()
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	if d.altSvc != "" {
		header.Set("Alt-Svc", d.altSvc)
	}
	if g, ok := r.Context().Value(guestKey{}).(*guest); ok && !d.counted {
		if !g.begin() {
			header.Set("Retry-After", "1")
			d.say(w, http.StatusServiceUnavailable, "too many queries are under way")
			return
		}
		defer g.end()
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(queryWait))
	msg, err := readDoH(r)
	if err != nil {
		d.refuse(w, err)
		return
	}
	_ = control.SetReadDeadline(time.Time{})
	answer, ok := d.answer.whole(msg, d.arrived(r), make([]byte, 0, 1024))
	_ = control.SetWriteDeadline(time.Now().Add(takeWait))
	if !ok && r.ProtoMajor < 3 {
		header.Set("Connection", "close") // of HTTP/2: GOAWAY
	}
	switch {
	case answer == nil && !ok:
		header.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusForbidden)
		return
	case answer == nil && (len(msg) < wire.HeaderLen || wire.Flags(msg)&wire.QR != 0):
		d.refuse(w, &misuse{http.StatusBadRequest, fmt.Sprintf("found %d octets that are no DNS query, expected a DNS message (RFC 1035) with QR 0", len(msg))})
		return
	case answer == nil: // dropped by policy
		panic(http.ErrAbortHandler)
	}
	header.Set("Content-Type", dohMediaType)
	header.Set("Content-Length", strconv.Itoa(len(answer)))
	header.Set("Cache-Control", freshness(answer))
	if _, err := w.Write(answer); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) { // HEAD
		d.answer.count.unsent.Add(1)
	}
}

// survive counts and logs a fault in the code for one request, which is then reset.
func (d *doh) survive() {
	fault := recover()
	if fault == nil {
		return
	}
	if err, ok := fault.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		d.answer.faulty(fault, "HTTP request reset")
	}
	panic(http.ErrAbortHandler)
}

// freshness is how long an HTTP cache may keep an answer: as long as its smallest TTL
// allows, a negative one as its SOA does (RFC 8484 section 5.1). Only the client's
// own may, since who asks decides what is answered, and is recorded.
func freshness(answer []byte) string {
	var f wire.Reply
	if f.Parse(answer) != nil || f.TTL() == 0 {
		return "no-store"
	}
	return "private, max-age=" + strconv.FormatUint(uint64(f.TTL()), 10)
}

// refuse answers a request that brought no query.
func (d *doh) refuse(w http.ResponseWriter, err error) {
	var m *misuse
	switch {
	case errors.As(err, &m):
		d.encrypted.rejected.Add(1)
		if m.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, HEAD, POST")
		}
		d.say(w, m.status, m.text)
	case errors.Is(err, os.ErrDeadlineExceeded):
		d.encrypted.stalled.Add(1)
		d.say(w, http.StatusRequestTimeout, fmt.Sprintf("the query did not come whole within %s", queryWait))
	default:
		panic(http.ErrAbortHandler) // the client has given it up
	}
}

func (d *doh) say(w http.ResponseWriter, status int, text string) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(takeWait))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

// readDoH takes the query out of a request.
func readDoH(r *http.Request) ([]byte, error) {
	if r.URL.Path != dohPath {
		return nil, &misuse{http.StatusNotFound, "nothing is here; DNS over HTTPS (RFC 8484) is at " + dohPath}
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return queryOfURL(r)
	case http.MethodPost:
		return queryOfBody(r)
	}
	return nil, &misuse{http.StatusMethodNotAllowed, fmt.Sprintf("found method %.20q, expected GET or POST (RFC 8484)", r.Method)}
}

func queryOfURL(r *http.Request) ([]byte, error) {
	const usage = "GET " + dohPath + "?dns=, the DNS query in base64url without padding"
	values := r.URL.Query()["dns"]
	if len(values) != 1 {
		return nil, &misuse{http.StatusBadRequest, fmt.Sprintf("found %d parameters dns, expected one: %s", len(values), usage)}
	}
	text := strings.TrimRight(values[0], "=")
	if most := base64.RawURLEncoding.EncodedLen(maxQuery); len(text) > most {
		return nil, &misuse{http.StatusRequestURITooLong, fmt.Sprintf("found %d characters, expected at most %d; longer queries go by POST", len(text), most)}
	}
	msg, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, &misuse{http.StatusBadRequest, fmt.Sprintf("found no base64url (%v), expected %s", err, usage)}
	}
	return msg, nil
}

func queryOfBody(r *http.Request) ([]byte, error) {
	found := r.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(found); err != nil || kind != dohMediaType {
		return nil, &misuse{http.StatusUnsupportedMediaType, fmt.Sprintf("found content type %.60q, expected %s", found, dohMediaType)}
	}
	tooLarge := &misuse{http.StatusRequestEntityTooLarge, fmt.Sprintf("found more octets than a DNS message has, which are %d at most", wire.MaxMessage)}
	if r.ContentLength > wire.MaxMessage {
		return nil, tooLarge
	}
	msg, err := io.ReadAll(io.LimitReader(r.Body, maxQuery))
	if err != nil {
		return nil, err
	}
	if r.ContentLength < 0 { // only reading on tells
		switch more, err := io.CopyN(io.Discard, r.Body, wire.MaxMessage+1-maxQuery); {
		case err == nil && more > wire.MaxMessage-maxQuery:
			return nil, tooLarge
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		}
	}
	return msg, nil
}

// arrived is what is known of a request's query beside what it says.
func (d *doh) arrived(r *http.Request) arrival {
	a := d.answer.arrived(ends(r))
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		a.relay(c)
	}
	return a
}

// ends are the two ends of the connection that a request came over.
func ends(r *http.Request) (client, server netip.AddrPort) {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil {
		client = unmap(remote)
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		server = endpoint(local)
	}
	return client, server
}
