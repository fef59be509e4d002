package feed

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func TestFetchAsksWithValidators(t *testing.T) {
	const tag, date = `W/"a,b"`, "Wed, 21 Oct 2015 07:28:00 GMT"
	for name, sent := range map[string]map[string]string{
		"ETag":                   {"ETag": tag},
		"Last-Modified":          {"Last-Modified": date},
		"ETag and Last-Modified": {"ETag": tag, "Last-Modified": date},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
				for name, value := range sent {
					w.Header().Set(name, value)
				}
				if r.Header.Get("If-None-Match")+r.Header.Get("If-Modified-Since") != "" {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				_, _ = io.WriteString(w, "a.example\n")
			})
			s := openStore(t, t.TempDir())
			r := newRemotes(t, s, RemoteOptions{RootCAs: o.roots()})
			spec := RemoteSpec{Name: "feed", URL: o.URL + "/list?key=1"}
			must(t, r.list(spec))
			first := o.take()[0]
			if first.Get("If-None-Match")+first.Get("If-Modified-Since") != "" || first.Get("Accept-Encoding") != "gzip, zstd" || first.Get("User-Agent") != "sinkhole" {
				t.Errorf("asked first with %v", first)
			}
			if got := r.take(); got != "a.example\n" {
				t.Fatalf("judged %q", got)
			}
			before := *r.state().Good

			for restart := range 2 {
				must(t, r.refresh())
				again := o.take()[0]
				if again.Get("If-None-Match") != sent["ETag"] || again.Get("If-Modified-Since") != sent["Last-Modified"] {
					t.Errorf("asked again with %v", again)
				}
				if got := r.take(); got != "" {
					t.Errorf("judged %q again", got)
				}
				if good := r.state().Good; good.Digest != before.Digest || !good.Fetched.Equal(before.Fetched) || !good.Confirmed.After(before.Confirmed) || good.Validator != before.Validator {
					t.Errorf("confirmed, the copy is %+v, before %+v", good, before)
				}
				if restart == 0 {
					r.Close()
					s = reopen(t, s)
					r = newRemotes(t, s, RemoteOptions{RootCAs: o.roots()})
					must(t, r.Set([]RemoteSpec{spec}))
				}
			}
		})
	}
}

func TestFetchTakesWhatChanged(t *testing.T) {
	o := newOrigin(t, text("a\n"))
	var background atomic.Int32
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots(), Background: func(work func()) {
		background.Add(1)
		work()
	}})
	spec := RemoteSpec{Name: "feed", URL: o.URL}
	must(t, r.list(spec))
	o.answer(text("b\n"))
	must(t, r.refresh())
	must(t, r.refresh())
	if got := r.take(); got != "a\n|b\n" {
		t.Errorf("judged %q", got)
	}
	e := r.store.Entry("feed", o.URL)
	if got := textOf(t, r.store, "feed", e.Good) + textOf(t, r.store, "feed", e.Previous); got != "b\na\n" {
		t.Errorf("good and previous are %q", got)
	}
	if background.Load() == 0 {
		t.Error("nothing ran in the background")
	}
}

// What could not be sent back is not kept: it would keep us from asking again.
func TestFetchUnsendableValidators(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"`+strings.Repeat("x", 10_000)+`"`)
		_, _ = io.WriteString(w, "a.example\n")
	})
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	must(t, r.list(RemoteSpec{URL: o.URL}))
	if v := r.state().Good.Validator; v.ETag != "" {
		t.Errorf("kept is %.50q", v.ETag)
	}
	must(t, r.refresh())
}

// A server without validators sends the list each time; only another one is
// judged.
func TestFetchTellsTheSameByItsDigest(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a\n") })
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	must(t, r.list(RemoteSpec{URL: o.URL}))
	before := r.state().Good.Confirmed
	must(t, r.refresh())
	if got := r.take(); got != "a\n" {
		t.Errorf("judged %q", got)
	}
	if !r.state().Good.Confirmed.After(before) {
		t.Error("the second answer does not count as a confirmation")
	}
}

func TestFetchEncodings(t *testing.T) {
	long := strings.Repeat("lumma.example\n", 100_000)
	packed := gz(t, long, gzip.Header{})
	for name, test := range map[string]struct {
		encoding string
		sent     []byte
		copy     []byte
	}{
		"none":                     {"", []byte(long), []byte(long)},
		"identity":                 {"identity", []byte(long), []byte(long)},
		"gzip":                     {"gzip", packed, []byte(long)},
		"x-gzip, in capitals":      {"X-GZIP", packed, []byte(long)},
		"gzip of several members":  {"gzip", join(gz(t, "a\n", gzip.Header{}), packed), []byte("a\n" + long)},
		"zstd":                     {"zstd", zst(t, long), []byte(long)},
		"a gzip file":              {"", packed, packed},
		"a zstd file":              {"", zst(t, long), zst(t, long)},
		"a gzip file, sent gzip":   {"gzip", gz(t, string(packed), gzip.Header{}), packed},
		"one line without its end": {"", []byte("a.example"), []byte("a.example")},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.encoding != "" {
					w.Header().Set("Content-Encoding", test.encoding)
				}
				_, _ = w.Write(test.sent)
			})
			r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
			spec := RemoteSpec{URL: o.URL}
			must(t, r.list(spec))
			good := r.state().Good
			if good.Digest != sum(test.copy) || good.Size != int64(len(test.copy)) {
				t.Errorf("the copy has %d octets and the digest %s, expected %d and %s", good.Size, good.Digest, len(test.copy), sum(test.copy))
			}
			if got := r.take(); !strings.HasSuffix(got, strings.TrimSuffix(got, long)+long) && name != "one line without its end" {
				t.Errorf("the list read has %d octets", len(got))
			}
		})
	}
}

const page = "\n<!DOCTYPE html><html><head><title>Sorry,\n  we are closed</title></head></html>"

// What is no list changes nothing, and the message says what came, what was
// expected and what to do.
func TestFetchRefuses(t *testing.T) {
	long := strings.Repeat("lumma.example\n", 1000)
	zeros := strings.Repeat("\x00", 1<<20)
	bomb := gz(t, strings.Repeat(zeros, 20), gzip.Header{})
	write := func(header, value, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(header, value)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		spec   RemoteSpec
		words  []string
	}{
		"401":               {status(401), RemoteSpec{}, []string{"401 (unauthorized)", "set the list's auth"}},
		"401 with a key":    {status(401), RemoteSpec{Header: "X-Key", Secret: "s3cret"}, []string{"401", "does not accept the key", "auth.secret_file"}},
		"403":               {status(403), RemoteSpec{}, []string{"403 (forbidden)", "set the list's auth"}},
		"404":               {status(404), RemoteSpec{}, []string{"404 (not found)", "correct the URL"}},
		"410":               {status(410), RemoteSpec{}, []string{"410", "correct the URL"}},
		"429":               {status(429, "Retry-After", "120"), RemoteSpec{}, []string{"429", "longer refresh", "left alone for 2m0s"}},
		"500":               {status(500), RemoteSpec{}, []string{"500", "the server has a fault"}},
		"503":               {status(503), RemoteSpec{}, []string{"503", "no time now"}},
		"204":               {status(204), RemoteSpec{}, []string{"204", "no whole list"}},
		"206":               {status(206), RemoteSpec{}, []string{"206", "no whole list"}},
		"299":               {status(299), RemoteSpec{}, []string{"status 299, expected 200"}},
		"300":               {status(300), RemoteSpec{}, []string{"300", "browser"}},
		"304 unasked":       {status(304), RemoteSpec{}, []string{"304", "not asked that"}},
		"302 to nowhere":    {status(302), RemoteSpec{}, []string{"302 without a Location"}},
		"302 to no URL":     {status(302, "Location", "https://%zz/"), RemoteSpec{}, []string{"no URL"}},
		"302 to http":       {status(302, "Location", "http://127.0.0.1/list?key=1"), RemoteSpec{}, []string{"redirects to http://127.0.0.1/list?..., expected https"}},
		"302 to a file":     {status(302, "Location", "file:///etc/passwd"), RemoteSpec{}, []string{"redirects to file:///etc/passwd, expected https"}},
		"302 in a circle":   {status(302, "Location", "/again"), RemoteSpec{}, []string{"more than 5 redirects"}},
		"an error page":     {write("Content-Type", "text/html", page), RemoteSpec{}, []string{`page titled "Sorry, we are closed"`, "error page"}},
		"a page as text":    {write("Content-Type", "text/plain", page), RemoteSpec{}, []string{`page titled "Sorry, we are closed"`}},
		"a page, BOM, gzip": {write("Content-Encoding", "gzip", string(gz(t, "\xef\xbb\xbf <html>", gzip.Header{}))), RemoteSpec{}, []string{"an HTML or XML page"}},
		"a login form":      {write("Content-Type", "text/html", `<html><input type="password">`), RemoteSpec{}, []string{"login page", "auth"}},
		"sent to log in": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/Login" {
				http.Redirect(w, r, "/Login?from=list", http.StatusFound)
				return
			}
			_, _ = io.WriteString(w, "<html>")
		}, RemoteSpec{}, []string{"/Login?...: an HTML or XML page", "/list?... redirects", "login page", "auth"}},
		"nothing":            {status(200), RemoteSpec{}, []string{"the answer is empty"}},
		"blank":              {write("A", "b", " \n\r\n"), RemoteSpec{}, []string{"the answer is empty"}},
		"unknown encoding":   {write("Content-Encoding", "br", "x"), RemoteSpec{}, []string{`Content-Encoding "br", expected gzip, zstd or none`}},
		"twice encoded":      {write("Content-Encoding", "gzip, gzip", "x"), RemoteSpec{}, []string{`"gzip, gzip"`}},
		"not gzip":           {write("Content-Encoding", "gzip", long), RemoteSpec{}, []string{"Content-Encoding gzip, but the content is not that"}},
		"not zstd":           {write("Content-Encoding", "zstd", long), RemoteSpec{}, []string{"Content-Encoding zstd, but the content is not that"}},
		"gzip cut":           {write("Content-Encoding", "gzip", string(gz(t, long, gzip.Header{})[:60])), RemoteSpec{}, []string{"Content-Encoding gzip does not unpack", "middle of its compressed data"}},
		"zstd cut":           {write("Content-Encoding", "zstd", string(zst(t, long)[:30])), RemoteSpec{}, []string{"Content-Encoding zstd does not unpack"}},
		"zstd, huge window":  {write("Content-Encoding", "zstd", "\x28\xb5\x2f\xfd\xa0\xff\xff\xff\x7f\x09\x00\x00x"), RemoteSpec{}, []string{"window"}},
		"declared too large": {write("Content-Length", "14000", long), RemoteSpec{Limits: Limits{File: 10_000}}, []string{"14 KiB or more, expected at most 9.8 KiB"}},
		"without an end": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, long)
			}
		}, RemoteSpec{Limits: Limits{File: 1 << 20}}, []string{"or more, expected at most 1.0 MiB"}},
		"bomb":                  {write("Content-Encoding", "gzip", string(bomb)), RemoteSpec{}, []string{"compression bomb", "at most 250 times"}},
		"bomb, over the limit":  {write("Content-Encoding", "gzip", string(bomb)), RemoteSpec{Limits: Limits{File: 1 << 20}}, []string{"expected at most 1.0 MiB"}},
		"a bomb itself":         {write("A", "b", string(bomb)), RemoteSpec{}, []string{"what came is not used", "compression bomb"}},
		"endless empty members": {write("Content-Encoding", "gzip", strings.Repeat(string(gz(t, "", gzip.Header{})), 100_000)), RemoteSpec{Limits: Limits{File: 1 << 20}}, []string{"expected at most 1.0 MiB"}},
		"huge header":           {status(200, "X-Huge", strings.Repeat("x", 100<<10)), RemoteSpec{}, []string{"cannot be fetched"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, text("a.example\n"))
			r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
			test.spec.URL = o.URL + "/list?key=s3cret"
			must(t, r.list(test.spec))
			r.take()

			if name == "304 unasked" {
				// A copy without a validator, so that nothing is asked.
				_, err := r.store.Confirm("feed", test.spec.URL, r.state().Good.Digest, Validator{}, nil)
				must(t, err)
			}
			o.answer(test.handle)
			err := r.refresh()
			checkSays(t, err, test.words...)
			if name != "a bomb itself" {
				checkSays(t, err, o.URL)
			}
			if got := r.take(); got != "" && name != "a bomb itself" {
				t.Errorf("judged %.100q", got)
			}
			if got := r.good(test.spec); got != "a.example\n" {
				t.Errorf("the good copy is %.100q", got)
			}
			if s := r.state(); s.Error != err.Error() || s.Failures != 1 || !s.Next.After(time.Now()) {
				t.Errorf("status is %+v", s)
			}
			if got := filesOf(t, r.store, "feed"); len(got) != 2 {
				t.Errorf("files left: %q", got)
			}
			if all := r.logged() + err.Error() + fmt.Sprintf("%+v", r.state()); strings.Contains(all, "s3cret") && !strings.Contains(fmt.Sprintf("%+v", r.state().Good), "s3cret") {
				t.Errorf("the secret is told: %s", all)
			}
		})
	}
}

// A body over HTTP/1 that ends early is never taken for a list.
func TestFetchBrokenOff(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		words  []string // none: it is whole
	}{
		"shorter than said":        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na.example\n", []string{"broke off after 10 B of 100 B"}},
		"a chunk is missing":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\na.example\n\r\n", []string{"broke off after 10 B"}},
		"a chunk is cut":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\na.example\n", []string{"broke off"}},
		"no chunk":                 {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n", []string{"broke off after 0 B", "invalid byte in chunk length"}},
		"no length, within a line": {"HTTP/1.0 200 OK\r\n\r\na.example\nb.exa", []string{"ends within a line after 15 B", "does not say how long"}},
		"no length":                {"HTTP/1.0 200 OK\r\n\r\na.example\nb.example\n", nil},
		"no length, JSON":          {"HTTP/1.0 200 OK\r\n\r\n{}", nil},
		"no length, gzip":          {"HTTP/1.0 200 OK\r\n\r\n" + string(gz(t, "a.example\n", gzip.Header{})), nil},
		"no length, gzip cut":      {"HTTP/1.0 200 OK\r\n\r\n" + string(gz(t, "a.example\n", gzip.Header{})[:20]), []string{"what came is not used"}},
		"no length, sent zstd":     {"HTTP/1.0 200 OK\r\nContent-Encoding: zstd\r\n\r\n" + string(zst(t, "a.example")), nil},
		"no header":                {"", []string{"cannot be fetched", "EOF"}},
		"no HTTP":                  {"a.example\n", []string{"cannot be fetched", "malformed HTTP"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewTLSServer(raw(test.answer)) // without HTTP/2
			defer s.Close()
			roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: roots})
			err := r.list(RemoteSpec{URL: s.URL})
			if test.words == nil {
				must(t, err)
				return
			}
			checkSays(t, err, test.words...)
			if r.state().Good != nil {
				t.Error("it is the good copy")
			}
		})
	}
}

func TestFetchFollowsRedirects(t *testing.T) {
	o := newOrigin(t, nil)
	o.answer(func(w http.ResponseWriter, r *http.Request) {
		if hop, found := strings.CutPrefix(r.URL.Path, "/"); found && len(hop) < maxRedirects {
			http.Redirect(w, r, "/"+hop+"x", []int{301, 302, 303, 307, 308}[len(hop)])
			return
		}
		text("a.example\n")(w, r)
	})
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	must(t, r.list(RemoteSpec{URL: o.URL + "/"}))
	if n := len(o.take()); n != maxRedirects+1 {
		t.Errorf("%d requests", n)
	}
	must(t, r.refresh())
	asked := o.take()
	for i, h := range asked {
		if conditional := h.Get("If-None-Match") != ""; conditional != (i == maxRedirects) {
			t.Errorf("request %d has the validator: %v; it belongs to the last alone", i, conditional)
		}
	}
	if got := r.take(); got != "a.example\n" {
		t.Errorf("judged %q", got)
	}
}

// byName connects to servers by the names in their certificate.
func byName(servers map[string]*origin) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		o := servers[address]
		if o == nil {
			return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
		}
		return new(net.Dialer).DialContext(ctx, network, o.Listener.Addr().String())
	}
}

// The key goes to the host of the URL and to no other, and not back from there.
func TestFetchKeepsTheSecretAtHome(t *testing.T) {
	for name, test := range map[string]struct {
		path []string // the redirects after the first request
		told []bool   // whether each request has the secret
	}{
		"no redirect":                     {nil, []bool{true}},
		"within the host":                 {[]string{"/b"}, []bool{true, true}},
		"within the host, in full":        {[]string{"https://Home.example.com:443/b"}, []bool{true, true}},
		"to another host":                 {[]string{"https://away.example.com/b"}, []bool{true, false}},
		"to another port":                 {[]string{"https://home.example.com:8443/b"}, []bool{true, false}},
		"to another host and back":        {[]string{"https://away.example.com/b", "https://home.example.com/c"}, []bool{true, false, false}},
		"to another host that wants none": {[]string{"https://user:password@away.example.com/b"}, []bool{true, false}},
	} {
		for _, with := range []string{"header", "user"} {
			t.Run(name+", "+with, func(t *testing.T) {
				o := newOrigin(t, nil)
				hop := 0
				o.answer(func(w http.ResponseWriter, r *http.Request) {
					if hop < len(test.path) {
						hop++
						http.Redirect(w, r, test.path[hop-1], http.StatusFound)
						return
					}
					_, _ = io.WriteString(w, "a.example\n")
				})
				r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{
					RootCAs: o.roots(), Dial: byName(map[string]*origin{
						"home.example.com:443": o, "Home.example.com:443": o, "away.example.com:443": o, "home.example.com:8443": o,
					}),
				})
				spec := RemoteSpec{URL: "https://home.example.com/a?k=s3cret", Header: "X-Auth-Key", Secret: " s3cret\n"}
				if with == "user" {
					spec = RemoteSpec{URL: "https://user:s3cret@home.example.com/a"}
				}
				must(t, r.list(spec))
				asked := o.take()
				if len(asked) != len(test.told) {
					t.Fatalf("%d requests", len(asked))
				}
				for i, h := range asked {
					told := h.Get("X-Auth-Key") == "s3cret" || strings.HasPrefix(h.Get("Authorization"), "Basic ")
					if told != test.told[i] || h.Get("Referer") != "" || h.Get("Cookie") != "" {
						t.Errorf("request %d: %v", i, h)
					}
				}
				if all := r.logged() + r.state().URL; strings.Contains(all, "s3cret") {
					t.Errorf("the secret is told: %s", all)
				}
			})
		}
	}
}

func TestFetchUnreachable(t *testing.T) {
	o := newOrigin(t, text("a.example\n"))
	closed := newOrigin(t, nil)
	closed.Close()
	old := httptest.NewUnstartedServer(text("a.example\n"))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = o.Config.ErrorLog
	old.StartTLS()
	defer old.Close()
	plain := httptest.NewServer(text("a.example\n"))
	defer plain.Close()
	for name, test := range map[string]struct {
		url     string
		options RemoteOptions
		words   []string
	}{
		"strange certificate":    {o.URL, RemoteOptions{}, []string{"certificate is not accepted", "unknown authority"}},
		"certificate of another": {"https://other.invalid/", RemoteOptions{RootCAs: o.roots(), Dial: byName(map[string]*origin{"other.invalid:443": o})}, []string{"certificate is not accepted", "other.invalid"}},
		"no such host":           {"https://gone.example.com/", RemoteOptions{Dial: byName(nil)}, []string{"no such host: correct the URL"}},
		"nobody listens":         {closed.URL, RemoteOptions{}, []string{"cannot be fetched", "refused"}},
		"TLS 1.1":                {old.URL, RemoteOptions{RootCAs: o.roots()}, []string{"cannot be fetched", "protocol version"}},
		"no TLS":                 {strings.Replace(plain.URL, "http:", "https:", 1), RemoteOptions{}, []string{"cannot be fetched", "does not look like a TLS handshake"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemotes(t, openStore(t, t.TempDir()), test.options)
			checkSays(t, r.list(RemoteSpec{URL: test.url}), append(test.words, test.url)...)
		})
	}
}

func TestFetchPlainFromLoopback(t *testing.T) {
	s := httptest.NewServer(text("a.example\n"))
	defer s.Close()
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{})
	must(t, r.list(RemoteSpec{URL: s.URL}))
	if got := r.take(); got != "a.example\n" {
		t.Errorf("judged %q", got)
	}
}

func TestFetchSpeaksHTTP2(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.Proto) })
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	must(t, r.list(RemoteSpec{URL: o.URL}))
	if got := r.take(); got != "HTTP/2.0\n" {
		t.Errorf("spoke %q", got)
	}
}

func TestCheckURL(t *testing.T) {
	for url, words := range map[string][]string{
		"https://cert.example/list.txt":           nil,
		"https://cert.example:8443/?a=b#c":        nil,
		"https://[2001:db8::1]/list":              nil,
		"HTTPS://cert.example":                    nil,
		"http://127.0.0.1:80/list":                nil,
		"http://[::1]/list":                       nil,
		"http://cert.example/list":                {"http://cert.example/list: plain http, expected https"},
		"http://localhost/list":                   {"plain http"}, // a name is what a resolver says it is
		"http://127.0.0.1.evil.example/list":      {"plain http"},
		"ftp://cert.example/list":                 {`scheme "ftp", expected https`},
		"//cert.example/list":                     {`scheme "", expected https`},
		"lists/a.txt":                             {"expected https"},
		"https:///list":                           {"no host"},
		"https:list":                              {"no host"},
		"https://user:s3cret@cert.example:x/":     {"not a URL", "invalid port"},
		"https://user:s3cret@cert.example/%zz":    {"not a URL", "invalid URL escape"},
		"http://user:s3cret@cert.example/?s3cret": {"http://cert.example/?...: plain http"},
	} {
		err := CheckURL(url)
		if words == nil {
			if err != nil {
				t.Errorf("%s: %v", url, err)
			}
			continue
		}
		checkSays(t, err, words...)
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v tells the secret", err)
		}
	}
}

func TestSpecSecrets(t *testing.T) {
	for name, test := range map[string]struct {
		header, secret string
		words          []string
	}{
		"none":            {"", "", nil},
		"both":            {"X-API-Key", "s3cret", nil},
		"a line end":      {"Authorization", "Bearer s3cret\r\n", nil},
		"no header":       {"", "s3cret", []string{"auth.header"}},
		"no secret":       {"X-API-Key", "\n", []string{"no secret", "auth.secret_file"}},
		"no token":        {"X API Key", "s3cret", []string{"no name of a header"}},
		"several lines":   {"X-API-Key", "s3cret\ns3cret", []string{"expected one line"}},
		"our own":         {"host", "s3cret", []string{"set by the client itself"}},
		"a colon in it":   {"X-API-Key:", "s3cret", []string{"no name of a header"}},
		"an octet of nul": {"X-API-Key", "s3\x00cret", []string{"control character"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := RemoteSpec{Name: "feed", URL: source, Header: test.header, Secret: test.secret}.check()
			if test.words == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkSays(t, err, test.words...)
			if strings.Contains(err.Error(), "s3") {
				t.Errorf("%v tells the secret", err)
			}
		})
	}
}

// FuzzBody gives any octets as the body of an answer: reading ends, stays within
// its limits, and what is read without an error is what was packed.
func FuzzBody(f *testing.F) {
	f.Add([]byte("a.example\n"), "", false)
	f.Add(gz(f, "a.example\n", gzip.Header{}), "gzip", false)
	f.Add(zst(f, "a.example\n"), "zstd", true)
	f.Add([]byte("<html><title>x</title>"), "", true)
	f.Add([]byte(`{"00000000-0000-0000-0000-000000000000":{}}`), "identity", true)
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, sent []byte, encoding string, told bool) {
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
		must(t, err)
		resp := &http.Response{ProtoMajor: 1, Request: req, Header: http.Header{"Content-Encoding": {encoding}}, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(sent))}
		if told {
			resp.ContentLength = int64(len(sent))
		}
		b, err := newBody(ctx, cancel, resp, Limits{File: limit}.withDefaults(), Bounds{}.withDefaults(), func(int64) {})
		if err != nil {
			checkSays(t, err, "https://cert.example/list.txt: ")
			return
		}
		defer b.close()
		head, err := b.head()
		if err != nil {
			return
		}
		_ = checkPage(req.URL, resp, head)
		isManifest(head)
		got, err := io.ReadAll(b)
		if len(got) > limit {
			t.Fatalf("%d octets, limit %d", len(got), limit)
		}
		if !bytes.HasPrefix(got, head[:min(len(head), len(got))]) {
			t.Error("the head is not that of the content")
		}
		if err != nil {
			checkSays(t, err, "https://cert.example/list.txt: ")
		}
		switch encodingOf(resp.Header) {
		case "":
			cut := !told && !isGzip(head) && !isZstd(head) && (len(sent) == 0 || !strings.Contains("\n}]", string(sent[len(sent)-1:])))
			if len(sent) <= limit && ((err == nil) == cut || !bytes.Equal(got, sent)) {
				t.Errorf("plain octets are not themselves: %v", err)
			}
		case "gzip":
			want, wantErr := standard(sent, limit)
			if (err == nil) != (wantErr == nil) || err == nil && string(got) != want {
				t.Errorf("read %d octets with %v, the standard library %d with %v", len(got), err, len(want), wantErr)
			}
		}
		if errors.Is(err, context.Canceled) {
			t.Error("it was cancelled")
		}
	})
}
