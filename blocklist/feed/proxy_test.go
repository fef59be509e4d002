package feed

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// proxiedURL is what the child fetches: a name, since no proxy is ever asked
	// for what is on loopback. The certificate of httptest is for it.
	proxiedURL = "https://example.com/list?key=s3cret"
	// childRoots names the file of the certificate that a child trusts.
	childRoots = "SINKHOLE_TEST_PROXY_ROOTS"
)

// tunnel is a proxy that leads whoever asks for example.com to a server of the
// test's own.
type tunnel struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newTunnel(t *testing.T, to string) *tunnel {
	p := &tunnel{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+r.Host)
		p.mu.Unlock()
		server, err := net.Dial("tcp", to)
		if err != nil || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer server.Close()
		client, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer client.Close()
		_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(server, client)
			server.Close()
		}()
		_, _ = io.Copy(client, server)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *tunnel) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

// TestFetchThroughAProxy fetches as HTTPS_PROXY and NO_PROXY say: in a process of
// its own, since a process reads them once.
func TestFetchThroughAProxy(t *testing.T) {
	if os.Getenv(childRoots) != "" {
		fetchAsChild(t)
		return
	}
	s := httptest.NewTLSServer(text("a.example\n"))
	defer s.Close()
	p := newTunnel(t, s.Listener.Addr().String())
	roots := filepath.Join(t.TempDir(), "roots.pem")
	must(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	for name, test := range map[string]struct {
		environment []string
		asked       []string // of the proxy
		says        string
	}{
		"proxy":                {[]string{"HTTPS_PROXY=" + p.URL}, []string{"CONNECT example.com:443"}, "fetched"},
		"proxy, but not there": {[]string{"HTTPS_PROXY=" + p.URL, "NO_PROXY=example.com"}, nil, "direct to example.com:443"},
		"for http alone":       {[]string{"HTTP_PROXY=" + p.URL}, nil, "direct to example.com:443"},
		"none":                 {nil, nil, "direct to example.com:443"},
	} {
		t.Run(name, func(t *testing.T) {
			child := exec.Command(os.Args[0], "-test.run=^TestFetchThroughAProxy$", "-test.v")
			for _, v := range os.Environ() {
				if key, _, _ := strings.Cut(v, "="); !strings.HasSuffix(strings.ToUpper(key), "_PROXY") {
					child.Env = append(child.Env, v)
				}
			}
			child.Env = append(append(child.Env, childRoots+"="+roots), test.environment...)
			said, err := child.CombinedOutput()
			if err != nil || !strings.Contains(string(said), "child: "+test.says) {
				t.Errorf("%v, expected %q in\n%s", err, test.says, said)
			}
			if asked := p.take(); !slices.Equal(asked, test.asked) {
				t.Errorf("the proxy was asked %q, expected %q", asked, test.asked)
			}
			if strings.Contains(string(said), "s3cret") {
				t.Errorf("the secret is told:\n%s", said)
			}
		})
	}
}

// fetchAsChild says what came of the fetch. It connects to loopback alone.
func fetchAsChild(t *testing.T) {
	certificate, err := os.ReadFile(os.Getenv(childRoots))
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if !strings.HasPrefix(address, "127.0.0.1:") {
			return nil, errors.New("direct to " + address)
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	o := &owner{}
	r, err := NewRemotes(RemoteOptions{Store: openStore(t, t.TempDir()), Candidate: o.candidate, RootCAs: roots, Dial: dial})
	must(t, err)
	defer r.Close()
	must(t, r.Set([]RemoteSpec{{Name: "feed", URL: proxiedURL}}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = r.Refresh(ctx, "feed")
	switch {
	case err != nil:
		t.Logf("child: %v", err)
		if _, direct, found := strings.Cut(err.Error(), "direct to "); found {
			t.Logf("child: direct to %s", direct)
		}
	case o.take() == "a.example\n":
		t.Log("child: fetched")
	}
}
