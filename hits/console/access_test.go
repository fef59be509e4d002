package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// withTokens gives a tokens file, and the tokens by their names.
func withTokens(t testing.TB) (path string, byName map[string]string) {
	t.Helper()
	path, byName = filepath.Join(t.TempDir(), "tokens"), map[string]string{}
	lines := "# who may\n\n"
	for _, role := range []Role{Viewer, Responder, Admin} {
		token, line, err := NewToken(role.String(), role)
		if err != nil {
			t.Fatal(err)
		}
		lines += line + "  # of the test\n"
		byName[role.String()] = token
	}
	put(t, path, lines)
	return path, byName
}

// put writes a file whose change is old enough to be believed.
func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each role may what it may, and nothing else; whoever has no token may nothing.
func TestRoles(t *testing.T) {
	path, token := withTokens(t)
	r := newRig(t, func(o *Options) { o.TokensFile = path })
	const json = "application/json"
	for _, c := range []struct {
		method, path, body string
		least              Role
	}{
		{"GET", "/api/v1/overview", "", Viewer},
		{"GET", "/api/v1/machines", "", Viewer},
		{"GET", "/api/v1/events", "", Viewer},
		{"GET", "/api/v1/openapi.yaml", "", Viewer},
		{"GET", "/api/v1/export?format=json", "", Responder},
		{"POST", "/api/v1/lists/police/refresh", "", Responder},
		{"POST", "/api/v1/allow", `{"entry":"good.example"}`, Responder},
		{"DELETE", "/api/v1/allow/good.example", "", Responder},
		{"POST", "/api/v1/lists/police/approve", `{"entries":["big.example"]}`, Admin},
	} {
		for _, role := range []Role{0, Viewer, Responder, Admin} {
			header := []string{"Content-Type", json}
			want := http.StatusOK
			switch {
			case role == 0:
				want = http.StatusUnauthorized
			case role < c.least:
				want = http.StatusForbidden
			}
			if role != 0 {
				header = append(header, "Authorization", "Bearer "+token[role.String()])
			}
			if status, body := r.answer(c.method, c.path, c.body, header...); status != want {
				t.Errorf("%s %s as %v: %d %s, want %d", c.method, c.path, role, status, body, want)
			}
		}
	}
	for _, bad := range []string{"", "x", token["admin"] + "0", token["admin"][:20], "sha256:", strings.Repeat("a", 10_000)} {
		if status, _ := r.answer("GET", "/api/v1/me", "", "Authorization", "Bearer "+bad); status != http.StatusUnauthorized {
			t.Errorf("the token %q: %d", bad, status)
		}
		// A wrong one is not made good by a cookie.
		if status, _ := r.answer("GET", "/api/v1/me", "", "Authorization", "Bearer "+bad, "Cookie", "sinkhole="+token["admin"]); status != http.StatusUnauthorized {
			t.Errorf("the token %q with a cookie: %d", bad, status)
		}
	}
	for _, open := range []string{"/healthz", "/readyz"} {
		if status, _ := r.answer("GET", open, ""); status != http.StatusOK {
			t.Errorf("%s: %d", open, status)
		}
	}
	want := []string{"responder export json success", "admin export json success", "admin approve police big.example success", "responder allow good.example success"}
	for _, w := range want {
		if !slices.Contains(r.audited(), w) {
			t.Errorf("no audit record %q in %q", w, r.audited())
		}
	}
	if s := r.server.Stats(); s.Denied == 0 || s.Exports != 2 {
		t.Errorf("%+v", s)
	}
}

// A line that goes takes its access away at once; a file that goes takes everybody's.
func TestTokensAreReadAgain(t *testing.T) {
	path, token := withTokens(t)
	r := newRig(t, func(o *Options) { o.TokensFile = path })
	who := func(name string) int {
		status, _ := r.answer("GET", "/api/v1/me", "", "Authorization", "Bearer "+token[name])
		return status
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, text    string
		viewer, admin int
	}{
		{"as it was", string(whole), 200, 200},
		{"without the admin", without(string(whole), "admin"), 200, 401},
		{"with a broken line", strings.Replace(string(whole), "viewer viewer", "viewer vewer", 1), 401, 200},
		{"of another name, by the same length", strings.Replace(string(whole), "admin admin sha256:", "admin admin sha255:", 1), 200, 401},
		{"empty", "", 401, 401},
		{"again", string(whole), 200, 200},
	} {
		put(t, path, c.text)
		if v, a := who("viewer"), who("admin"); v != c.viewer || a != c.admin {
			t.Errorf("%s: viewer %d, admin %d, want %d and %d", c.what, v, a, c.viewer, c.admin)
		}
	}
	if err := os.Chtimes(path, time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // read, and remembered
		if who("admin") != 200 {
			t.Error("not known any more when the file has been there for long")
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if who("admin") != 401 {
		t.Error("a file that is gone admits")
	}
}

func without(text, name string) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+" ") }), "")
}

// No line at fault is taken, and none shows what may be a token.
func TestTokensFileFaults(t *testing.T) {
	_, good, _ := NewToken("good", Viewer)
	for name, c := range map[string]struct{ text, says string }{
		"empty":          {"# none\n", "found no token"},
		"two words":      {"a viewer\n", ":1: found 2 words"},
		"role":           {"a root sha256:00\n", `:1: as the role of a found "root"`},
		"name":           {"a<b viewer certificate\n", `:1: found the name "a<b"`},
		"the token":      {"a viewer snk_secret\n", ":1: found something else than a hash after a viewer"},
		"short hash":     {"a viewer sha256:0011\n", ":1: found something else"},
		"no hexadecimal": {"a viewer sha256:" + strings.Repeat("g", 64) + "\n", ":1: found something else"},
		"long hash":      {"a viewer sha256:" + strings.Repeat("0", 66) + "\n", ":1: found something else"},
		"twice":          {good + "\n" + good + "\n", `:2: found the name "good" a second time`},
		"large":          {strings.Repeat("#", maxTokensFile+1), "found more than"},
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		put(t, path, c.text)
		err := CheckTokens(path)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if _, err := Listen(Options{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Logger: zap.NewNop(), Site: new(Site), TokensFile: path}); err == nil {
			t.Errorf("%s: served", name)
		}
	}
}

// A site that strangers reach is not served without saying who may.
func TestOpenSiteIsRefused(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "[::]:0"} {
		o := Options{Addr: netip.MustParseAddrPort(addr), Logger: zap.NewNop(), Site: new(Site)}
		if _, err := Listen(o); !errors.Is(err, errOpen) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// What a page of another site, or a name made to lead here, can have a browser send changes
// and shows nothing.
func TestOthersPages(t *testing.T) {
	path, token := withTokens(t)
	open, closed := newRig(t, nil), newRig(t, func(o *Options) { o.TokensFile = path })
	const form, json = "application/x-www-form-urlencoded", "application/json"
	cookie := "sinkhole=" + token["admin"]
	for name, c := range map[string]struct {
		r      *rig
		want   int
		header []string
		body   string
	}{
		"rebinding":            {open, 403, []string{"Host", "evil.example", "Content-Type", json}, `{"entry":"a.example"}`},
		"rebinding, a port":    {open, 403, []string{"Host", "evil.example:8080", "Content-Type", json}, `{"entry":"a.example"}`},
		"a name like an own":   {open, 403, []string{"Host", "localhost.evil.example", "Content-Type", json}, `{"entry":"a.example"}`},
		"host with a user":     {open, 403, []string{"Host", "a@127.0.0.1", "Content-Type", json}, `{"entry":"a.example"}`},
		"another origin":       {open, 403, []string{"Origin", "https://evil.example", "Content-Type", json}, `{"entry":"a.example"}`},
		"no origin at all":     {open, 403, []string{"Origin", "null", "Content-Type", json}, `{"entry":"a.example"}`},
		"fetch metadata":       {open, 403, []string{"Sec-Fetch-Site", "cross-site", "Content-Type", json}, `{"entry":"a.example"}`},
		"a form":               {open, 403, []string{"Content-Type", form}, "entry=a.example"},
		"a form, plain text":   {open, 403, []string{"Content-Type", "text/plain"}, `{"entry":"a.example"}`},
		"a cookie and a form":  {closed, 403, []string{"Cookie", cookie, "Content-Type", form}, "entry=a.example&form_token=x"},
		"a cookie, elsewhere":  {closed, 403, []string{"Cookie", cookie, "Origin", "https://evil.example", "Content-Type", json}, `{"entry":"a.example"}`},
		"none of that":         {open, 200, []string{"Content-Type", json}, `{"entry":"a.example"}`},
		"a cookie and JSON":    {closed, 200, []string{"Cookie", cookie, "Content-Type", json}, `{"entry":"a.example"}`},
		"another name, tokens": {closed, 200, []string{"Host", "console.example", "Cookie", cookie, "Content-Type", json}, `{"entry":"b.example"}`},
	} {
		before := len(c.r.done)
		status, body := c.r.answer("POST", "/api/v1/allow", c.body, c.header...)
		if status != c.want || (len(c.r.done) > before) != (c.want == 200) {
			t.Errorf("%s: %d %s, want %d; done %q", name, status, body, c.want, c.r.done[before:])
		}
	}
	for path, want := range map[string]int{"/api/v1/export": 403, "/api/v1/events/stream": 403, "/": 200} {
		if status, _ := open.answer("GET", path, "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"); status != want {
			t.Errorf("a link of another site to %s: %d, want %d", path, status, want)
		}
		if status, _ := open.answer("GET", path, "", "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"); status != 403 {
			t.Errorf("a picture that is %s: %d", path, status)
		}
	}
	if got := open.audited(); slices.ContainsFunc(got, func(a string) bool { return strings.Contains(a, "export") }) {
		t.Errorf("%q", got)
	}
	if status, _ := open.answer("GET", "/api/v1/machines", "", "Host", "evil.example"); status != 403 {
		t.Errorf("a name that was made to lead here reads: %d", status)
	}
	if status, _ := open.answer("GET", "/api/v1/machines", "", "Host", "[::1]:8080"); status != 200 {
		t.Errorf("the own name: %d", status)
	}
	if s := open.server.Stats(); s.Forged < 4 {
		t.Errorf("%+v", s)
	}
}

// A login keeps the token where no script sees it, and leads to a page of ours only.
func TestLogin(t *testing.T) {
	path, token := withTokens(t)
	r := newRig(t, func(o *Options) { o.TokensFile = path })
	const form = "application/x-www-form-urlencoded"
	if a := r.request("GET", "/machines?q=a", ""); a.StatusCode != 303 || a.Header.Get("Location") != "/login?to="+url.QueryEscape("/machines?q=a") {
		t.Errorf("a stranger: %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	for to, want := range map[string]string{
		"/machines?q=a": "/machines?q=a", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/", "": "/", "javascript:alert(1)": "/", "/\r\nX: y": "/", "evil": "/",
	} {
		a := r.request("POST", "/login", url.Values{"token": {" " + token["viewer"] + "\n"}, "to": {to}}.Encode(), "Content-Type", form)
		if a.StatusCode != 303 || a.Header.Get("Location") != want {
			t.Errorf("to %q: %d %q, want %q", to, a.StatusCode, a.Header.Get("Location"), want)
		}
		c := a.Cookies()
		if len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode || c[0].Path != "/" || c[0].Value != token["viewer"] {
			t.Fatalf("the cookie %v", c)
		}
		if status, body := r.answer("GET", "/api/v1/me", "", "Cookie", c[0].Name+"="+c[0].Value); status != 200 || !strings.Contains(body, `"viewer"`) {
			t.Errorf("with the cookie: %d %s", status, body)
		}
	}
	a := r.request("POST", "/login", "token=wrong", "Content-Type", form)
	if len(a.Cookies()) != 0 || a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d %v", a.StatusCode, a.Cookies())
	}
}

// Every answer tells the browser to run nothing and to show it nowhere else.
func TestHeaders(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/", "/machines", "/api/v1/machines", "/api/v1/nothing", "/nothing", "/login", "/console.css"} {
		h := r.request("GET", path, "").Header
		csp := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: %q lacks %s", path, csp, part)
			}
		}
		if strings.Contains(csp, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	a := authority{}
	a.cert, a.key = certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	return a
}

func certify(t *testing.T, template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// A client certificate is as good as a token, where an authority of ours signed it and a line
// names it.
func TestClientCertificates(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	put(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.cert.Raw})))
	path, token := withTokens(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, string(text)+"alice responder certificate\ncarol@bank.example admin certificate\n")
	server, key := certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "console"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, &ours)
	r := newRig(t, func(o *Options) {
		o.TokensFile, o.ClientCA = path, ca
		o.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{server.Raw}, PrivateKey: key}, nil
		}
	})
	if !r.server.Secure() {
		t.Error("not secure")
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for name, c := range map[string]struct {
		of       *authority
		template *x509.Certificate
		token    string
		want     int // 0: no connection
		role     string
	}{
		"none":                  {want: 401},
		"a token":               {token: token["viewer"], want: 200, role: "viewer"},
		"common name":           {of: &ours, template: &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: usage}, want: 200, role: "responder"},
		"e-mail":                {of: &ours, template: &x509.Certificate{Subject: pkix.Name{CommonName: "x"}, EmailAddresses: []string{"carol@bank.example"}, ExtKeyUsage: usage}, want: 200, role: "admin"},
		"nobody's":              {of: &ours, template: &x509.Certificate{Subject: pkix.Name{CommonName: "mallory"}, ExtKeyUsage: usage}, want: 401},
		"a token's name":        {of: &ours, template: &x509.Certificate{Subject: pkix.Name{CommonName: "admin"}, ExtKeyUsage: usage}, want: 401},
		"of another authority":  {of: &others, template: &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: usage}, want: 0},
		"of a server, not ours": {of: &ours, template: &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, want: 0},
	} {
		config := &tls.Config{RootCAs: x509.NewCertPool()}
		config.RootCAs.AddCert(ours.cert)
		if c.of != nil {
			cert, key := certify(t, c.template, c.of)
			config.Certificates = []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &config.Certificates[0], nil }
		}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		q, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+r.server.Addr().String()+"/api/v1/me", nil)
		if c.token != "" {
			q.Header.Set("Authorization", "Bearer "+c.token)
		}
		a, err := client.Do(q)
		switch {
		case c.want == 0:
			if err == nil {
				t.Errorf("%s: %d", name, a.StatusCode)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", name, err)
			continue
		}
		body := make([]byte, 200)
		n, _ := a.Body.Read(body)
		a.Body.Close()
		if a.StatusCode != c.want || !strings.Contains(string(body[:n]), c.role) {
			t.Errorf("%s: %d %s, want %d as %s", name, a.StatusCode, body[:n], c.want, c.role)
		}
	}
}
