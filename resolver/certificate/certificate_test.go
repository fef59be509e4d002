package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const patience = 10 * time.Second

// quick looks soon, and never by itself.
var quick = timing{settle: 20 * time.Millisecond, maxSettle: 200 * time.Millisecond, poll: time.Hour}

// made is a certificate with its key, PEM.
type made struct{ cert, key []byte }

func makePair(t testing.TB, name string, from, to time.Time) made {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	packed, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	return made{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: packed}),
	}
}

func valid(t testing.TB, name string) made {
	return makePair(t, name, time.Now().Add(-time.Hour), time.Now().Add(60*24*time.Hour))
}

// put writes a pair into a directory and gives the paths.
func put(t testing.TB, dir string, m made) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	check(t, os.WriteFile(cert, m.cert, 0o600))
	check(t, os.WriteFile(key, m.key, 0o600))
	return cert, key
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// watched opens the pair in dir and gives it with what it logs.
func watched(t testing.TB, dir string) (*Certificate, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	c, err := open(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), zap.New(core), quick)
	check(t, err)
	t.Cleanup(c.Close)
	return c, logs
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func (c *Certificate) becomes(t testing.TB, name string) {
	t.Helper()
	eventually(t, "the certificate is that of "+name, func() bool { return slices.Equal(c.Names(), []string{name}) })
	got, err := c.Get(nil)
	check(t, err)
	if got.Leaf.DNSNames[0] != name {
		t.Errorf("given to clients is that of %v, expected %s", got.Leaf.DNSNames, name)
	}
}

// However the files are replaced, the new pair is in force soon.
func TestReloadedWhenFilesChange(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, dir string, m made){
		"written in place": func(t *testing.T, dir string, m made) { put(t, dir, m) },
		"renamed over": func(t *testing.T, dir string, m made) {
			cert, key := put(t, t.TempDir(), m)
			check(t, os.Rename(key, filepath.Join(dir, "tls.key")))
			check(t, os.Rename(cert, filepath.Join(dir, "tls.crt")))
		},
		"removed and made anew": func(t *testing.T, dir string, m made) {
			check(t, os.Remove(filepath.Join(dir, "tls.crt")))
			check(t, os.Remove(filepath.Join(dir, "tls.key")))
			put(t, dir, m)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, dir, valid(t, "old.example"))
			c, _ := watched(t, dir)
			c.becomes(t, "old.example")
			replace(t, dir, valid(t, "new.example"))
			c.becomes(t, "new.example")
			if s := c.Stats(); s.Reloads != 1 {
				t.Errorf("%+v, expected one reload", s)
			}
		})
	}
}

// Kubernetes mounts a directory of links through ..data, which it replaces by a
// rename.
func TestReloadedWhenKubernetesSwapsTheLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func(name string, m made) {
		check(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		put(t, filepath.Join(dir, name), m)
		check(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		check(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", valid(t, "old.example"))
	for _, file := range []string{"tls.crt", "tls.key"} {
		check(t, os.Symlink(filepath.Join("..data", file), filepath.Join(dir, file)))
	}
	c, _ := watched(t, dir)
	version("..2", valid(t, "new.example"))
	c.becomes(t, "new.example")
}

// What cannot be used changes nothing, is told once, and is mended by what can.
func TestFaultyFilesChangeNothing(t *testing.T) {
	t.Parallel()
	expired := makePair(t, "late.example", time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
	other := valid(t, "other.example")
	for name, c := range map[string]struct {
		found made
		says  string
	}{
		"another key": {made{other.cert, valid(t, "third.example").key}, "do not match: found the certificate of other.example, 127.0.0.1, whose key is another one"},
		"cut short":   {made{other.cert[:len(other.cert)/2], other.key}, "found no PEM block, expected the server's certificate"},
		"empty":       {made{nil, other.key}, "found no PEM block"},
		"expired":     {expired, "found a certificate of late.example, 127.0.0.1 that expired at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, dir, valid(t, "old.example"))
			cert, logs := watched(t, dir)
			put(t, dir, c.found)
			eventually(t, "the fault is logged", func() bool { return logs.FilterMessageSnippet("certificate not reloaded").Len() > 0 })
			if text, _ := logs.FilterMessageSnippet("not reloaded").All()[0].ContextMap()["error"].(string); !strings.Contains(text, c.says) {
				// In place, one file may have been read before the other was written.
				eventually(t, c.says, func() bool {
					for _, e := range logs.FilterMessageSnippet("not reloaded").All() {
						if strings.Contains(e.ContextMap()["error"].(string), c.says) {
							return true
						}
					}
					return false
				})
			}
			if cert.Reload() {
				t.Error("Reload says that the files hold what is in force")
			}
			cert.becomes(t, "old.example")
			told := logs.FilterMessageSnippet("not reloaded").Len()
			cert.Reload()
			if logs.FilterMessageSnippet("not reloaded").Len() != told {
				t.Error("the same fault was told twice")
			}
			put(t, dir, valid(t, "new.example"))
			cert.becomes(t, "new.example")
			if cert.Stats().Refused == 0 {
				t.Error("no change counted as refused")
			}
		})
	}
}

// An error says which file, what was found and what was expected.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	a, b := valid(t, "a.example"), valid(t, "b.example")
	garbage := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("garbage")})
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}})
	unreadable := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})
	for name, c := range map[string]struct {
		found made
		says  []string
	}{
		"exchanged":         {made{a.key, a.cert}, []string{"tls.crt: found PRIVATE KEY, expected the server's certificate", "exchanged?"}},
		"no key":            {made{a.cert, a.cert}, []string{"tls.key: found CERTIFICATE, expected a private key"}},
		"garbage":           {made{garbage, a.key}, []string{"tls.crt: certificate 1 of 1 cannot be read"}},
		"garbage in chain":  {made{slices.Concat(a.cert, garbage), a.key}, []string{"tls.crt: certificate 2 of 2 cannot be read"}},
		"text":              {made{[]byte("hello"), a.key}, []string{"tls.crt: found no PEM block"}},
		"DER":               {made{[]byte{0x30, 0x82, 1, 2}, a.key}, []string{"looks like DER"}},
		"under passphrase":  {made{a.cert, encrypted}, []string{"tls.key: found a key under a passphrase"}},
		"unreadable key":    {made{a.cert, unreadable}, []string{"tls.key: the key cannot be read"}},
		"not matching":      {made{a.cert, b.key}, []string{"tls.crt and ", "do not match", "a.example"}},
		"chain upside down": {made{slices.Concat(b.cert, a.cert), a.key}, []string{"the certificate of the key in", "is number 2, expected it first"}},
		"too long":          {made{make([]byte, maxFile+1), a.key}, []string{"tls.crt: found more than 1 MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cert, key := put(t, t.TempDir(), c.found)
			_, err := Open(cert, key, nil)
			if err == nil {
				t.Fatal("no error")
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q, expected %q in it", err, says)
				}
			}
		})
	}
	cert, _ := put(t, t.TempDir(), a)
	if _, err := Open(cert, cert+".none", nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing key gives %v", err)
	}
	if _, err := Open(filepath.Dir(cert), cert, nil); err == nil || !strings.Contains(err.Error(), "expected a PEM file") {
		t.Errorf("a directory gives %v", err)
	}
}

// The end is told 14 days before, once a day, and as an error when it has come.
func TestExpiryIsToldOnceADay(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(40 * 24 * time.Hour).Truncate(time.Second)
	dir := t.TempDir()
	put(t, dir, makePair(t, "dns.example", time.Now().Add(-time.Hour), end))
	c, logs := watched(t, dir)
	for _, step := range []struct {
		before time.Duration
		level  zapcore.Level // InfoLevel: nothing is told
	}{
		{15 * 24 * time.Hour, zapcore.InfoLevel},
		{14*24*time.Hour - time.Minute, zapcore.WarnLevel},
		{13*24*time.Hour + time.Hour, zapcore.InfoLevel},
		{13*24*time.Hour - time.Hour, zapcore.WarnLevel},
		{-time.Second, zapcore.ErrorLevel},
		{-time.Hour, zapcore.InfoLevel},
		{-25 * time.Hour, zapcore.ErrorLevel},
	} {
		logs.TakeAll()
		c.remind(end.Add(-step.before))
		told := logs.FilterMessageSnippet("expire").TakeAll()
		switch {
		case step.level == zapcore.InfoLevel && len(told) != 0:
			t.Errorf("%v before: told %v", step.before, told)
		case step.level != zapcore.InfoLevel && (len(told) != 1 || told[0].Level != step.level):
			t.Errorf("%v before: told %v, expected one at level %v", step.before, told, step.level)
		}
	}
	if got := c.Stats().NotAfter; !got.Equal(end) {
		t.Errorf("expires %v, expected %v", got, end)
	}
}

// An expired certificate is used where there is no better one: plain DNS goes on.
func TestExpiredCertificateIsUsedAndTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, makePair(t, "late.example", time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)))
	_, logs := watched(t, dir)
	if logs.FilterMessageSnippet("has expired").Len() != 1 {
		t.Errorf("logged %v", logs.All())
	}
}
