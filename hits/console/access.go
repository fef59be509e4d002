package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// gate decides who gets in, and what of a request is genuine.
type gate struct {
	tokens *tokens // nil: on loopback, and whoever reaches it is let in
	secure bool    // requests come over TLS
	cross  *http.CrossOriginProtection
	secret [32]byte // of the tokens in forms; another one at each start
	count  *counters
}

// cookieName has the prefix that binds a cookie to host and TLS (RFC 6265bis) where there is TLS.
func (g *gate) cookieName() string {
	if g.secure {
		return "__Host-sinkhole"
	}
	return "sinkhole"
}

const (
	formField   = "form_token"
	contentType = "Content-Type"
	// maxBody bounds what is sent to us.
	maxBody = 64 << 10
	// bodyWithin bounds the time for a body, and for what is done with it.
	bodyWithin = writeWithin
)

func newGate(t *tokens, secure bool, count *counters) *gate {
	g := &gate{tokens: t, secure: secure, cross: http.NewCrossOriginProtection(), count: count}
	_, _ = rand.Read(g.secret[:]) // never fails
	return g
}

type userKey struct{}

// visitor is who sent a request, and what proves it.
type visitor struct {
	*User
	proof  string // what the tokens of forms are made of
	bearer bool   // the request itself has the token: no page of others can send it
}

func visitorOf(r *http.Request) *visitor {
	v, _ := r.Context().Value(userKey{}).(*visitor)
	return v
}

// identify is nil for a stranger.
func (g *gate) identify(r *http.Request) *visitor {
	if g.tokens == nil {
		return &visitor{User: local()}
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		if u := g.tokens.byToken(strings.TrimSpace(token)); u != nil {
			return &visitor{User: u, bearer: true}
		}
		g.count.denied.Add(1)
		return nil // and not who the cookie says
	}
	if c, err := r.Cookie(g.cookieName()); err == nil {
		if u := g.tokens.byToken(c.Value); u != nil {
			return &visitor{User: u, proof: c.Value}
		}
		g.count.denied.Add(1)
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		leaf := r.TLS.PeerCertificates[0]
		if u := g.tokens.byCertificate(leaf); u != nil {
			return &visitor{User: u, proof: string(leaf.Raw)}
		}
		g.count.denied.Add(1)
	}
	return nil
}

// formToken is what a form of ours carries for this visitor.
func (g *gate) formToken(v *visitor) string {
	mac := hmac.New(sha256.New, g.secret[:])
	mac.Write([]byte(v.Name + "\n" + v.proof))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// protect sets the headers that every answer has, and turns away what a browser was made to
// send by pages of others.
func (g *gate) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if g.tokens == nil && !loopbackHost(r.Host) {
			refuse(w, r, &fault{http.StatusForbidden, "found the host " + quoted(r.Host) + ", expected localhost or a loopback address: a page of another site may have been made to resolve to this machine. Set console.tokens_file to use another name"})
			return
		}
		if err := g.cross.Check(r); err != nil || embedded(r) {
			g.count.forged.Add(1)
			refuse(w, r, &fault{http.StatusForbidden, "the request was made by a page of another site"})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// embedded tells whether a page of another site had the browser read something of ours, which it
// could not see, but which would cost us, and be an export on record. Links may lead to pages.
func embedded(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return isAPI(r) || r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// loopbackHost tells whether a browser meant this machine: else the name was made to lead here
// (DNS rebinding).
func loopbackHost(host string) bool {
	u, err := url.Parse("//" + host)
	if err != nil || u.Host != host {
		return false
	}
	name := u.Hostname()
	addr, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && addr.IsLoopback()
}

// admit lets through who has a role, and forms that are ours.
func (g *gate) admit(least Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := g.identify(r)
		if v == nil {
			g.stranger(w, r)
			return
		}
		if v.Role < least {
			g.count.denied.Add(1)
			refuse(w, r, &fault{http.StatusForbidden, v.Name + " has the role " + v.Role.String() + ", expected " + least.String() + " or more"})
			return
		}
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(bodyWithin)) // else the one of before holds
		if r.Method == http.MethodGet {
			_ = c.SetReadDeadline(time.Time{}) // there is nothing to read, and the answer may take long
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !v.bearer {
			if err := g.genuine(v, r); err != nil {
				g.count.forged.Add(1)
				refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, v)))
	})
}

// genuine tells whether a change was asked for by a page of ours. JSON no other page can send
// without being asked first, which we never answer (Fetch, CORS preflight).
func (g *gate) genuine(v *visitor, r *http.Request) error {
	kind, _, _ := strings.Cut(r.Header.Get(contentType), ";")
	if strings.TrimSpace(kind) == "application/json" || r.Method == http.MethodDelete {
		return nil
	}
	if err := r.ParseForm(); err != nil {
		return &fault{http.StatusBadRequest, "the form cannot be read: " + err.Error()}
	}
	if !hmac.Equal([]byte(r.PostForm.Get(formField)), []byte(g.formToken(v))) {
		return &fault{http.StatusForbidden, "the page is too old, from before the server's start perhaps: load it again"}
	}
	return nil
}

// stranger sends people to the form, and tells programs.
func (g *gate) stranger(w http.ResponseWriter, r *http.Request) {
	if isAPI(r) || r.Method != http.MethodGet {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sinkhole"`)
		refuse(w, r, &fault{http.StatusUnauthorized, "found no token that is known, expected the header Authorization: Bearer TOKEN"})
		return
	}
	http.Redirect(w, r, "/login?"+url.Values{"to": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
}

// login puts a token into a cookie.
func (g *gate) login(w http.ResponseWriter, r *http.Request) error {
	token := strings.TrimSpace(r.PostFormValue("token"))
	if g.tokens == nil {
		return seeOther(w, r, "/")
	}
	u := g.tokens.byToken(token)
	if u == nil {
		g.count.denied.Add(1)
		return errors.New("this token is not known here")
	}
	g.count.logins.Add(1)
	http.SetCookie(w, &http.Cookie{
		Name: g.cookieName(), Value: token, Path: "/", HttpOnly: true, Secure: g.secure, SameSite: http.SameSiteStrictMode,
	})
	return seeOther(w, r, ownPath(r.PostFormValue("to")))
}

// logout takes the cookie away.
func (g *gate) logout(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, &http.Cookie{Name: g.cookieName(), Path: "/", MaxAge: -1, HttpOnly: true, Secure: g.secure, SameSite: http.SameSiteStrictMode})
	return seeOther(w, r, "/login")
}

func seeOther(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// ownPath is a path of this console, / for what leads elsewhere.
func ownPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.ContainsAny(to, "\\\r\n") {
		return "/"
	}
	return u.RequestURI()
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }
