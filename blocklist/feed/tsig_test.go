package feed

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const testSecret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="

func testKey(t testing.TB, algorithm string) *tsigKey {
	t.Helper()
	k, err := TSIG{"key.test", algorithm, testSecret}.key()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestCheckTSIG(t *testing.T) {
	for _, c := range []struct {
		key   TSIG
		words []string // none: right
	}{
		{TSIG{}, nil},
		{TSIG{Algorithm: "hmac-sha256"}, nil}, // none, however it would sign
		{TSIG{"a.b", "hmac-sha256", testSecret}, nil},
		{TSIG{"a.b.", "HMAC-SHA512.", " " + testSecret + "\n"}, nil},
		{TSIG{"a", "", testSecret}, nil},
		{TSIG{"", "", testSecret}, []string{"name"}},
		{TSIG{".", "", testSecret}, []string{"name"}},
		{TSIG{"a", "hmac-md5", testSecret}, []string{"hmac-md5", "hmac-sha256 or hmac-sha512"}},
		{TSIG{"a", "hmac-sha1", testSecret}, []string{"hmac-sha1"}},
		{TSIG{"a", "", ""}, []string{"no secret", "tsig.secret_file"}},
		{TSIG{"a", "", "not base64!"}, []string{"not base64"}},
		{TSIG{strings.Repeat("a.", 200), "", testSecret}, []string{"name"}},
	} {
		err := CheckTSIG(c.key)
		if c.words == nil {
			if err != nil {
				t.Errorf("%+v: %v", c.key, err)
			}
			continue
		}
		checkSays(t, err, c.words...)
		if c.key.Secret != "" && strings.Contains(err.Error(), c.key.Secret) {
			t.Errorf("%v shows the secret", err)
		}
	}
}

// What we sign the library finds right.
func TestTSIGSignAgainstLibrary(t *testing.T) {
	for _, algorithm := range []string{"hmac-sha256", "hmac-sha512"} {
		k := testKey(t, algorithm)
		q := new(dns.Msg)
		q.SetQuestion("Rpz.Test.", dns.TypeIXFR)
		raw, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		for _, prior := range [][]byte{nil, []byte("a MAC of a request")} {
			signed, _ := k.sign(append([]byte(nil), raw...), prior, time.Now())
			m := new(dns.Msg)
			err := m.Unpack(signed)
			if err := dns.TsigVerify(signed, testSecret, fmt.Sprintf("%x", prior), false); err != nil {
				t.Errorf("%s: %v", algorithm, err)
			}
			if err != nil || m.IsTsig() == nil || m.IsTsig().Algorithm != algorithm+"." || m.IsTsig().Hdr.Name != "key.test." {
				t.Errorf("%s: %v, %s", algorithm, err, m)
			}
		}
	}
}

// signedStream is n answers, of which those that sign says are signed by the
// library; RFC 8945 section 5.3.1.
func signedStream(t testing.TB, algorithm, requestMAC string, n int, sign func(i int) bool) [][]byte {
	t.Helper()
	prior, first := requestMAC, true
	var pending []byte // messages since the last signature
	var all [][]byte
	for i := range n {
		m := new(dns.Msg)
		m.SetQuestion("rpz.test.", dns.TypeAXFR)
		m.Response, m.Id = true, uint16(i)
		m.Answer = rrs(t, fmt.Sprintf("n%d CNAME .", i))
		if !sign(i) {
			raw, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			pending = append(pending, raw...)
			all = append(all, raw)
			continue
		}
		m.SetTsig("key.test.", algorithm+".", 300, time.Now().Unix())
		provider := prefixProvider{pending, len(prior)/2 + 2}
		raw, mac, err := dns.TsigGenerateWithProvider(m, provider, prior, !first)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw)
		prior, first, pending = mac, false, nil
	}
	return all
}

// prefixProvider has the library take in messages that it knows nothing of,
// behind the prior MAC.
type prefixProvider struct {
	between []byte
	at      int
}

func (p prefixProvider) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	k, err := TSIG{"key.test", t.Algorithm, testSecret}.key()
	if err != nil {
		return nil, err
	}
	h := hmacOf(k)
	h.Write(msg[:p.at])
	h.Write(p.between)
	h.Write(msg[p.at:])
	return h.Sum(nil), nil
}

func (p prefixProvider) Verify([]byte, *dns.TSIG) error { return dns.ErrSig }

func TestTSIGStream(t *testing.T) {
	always := func(int) bool { return true }
	ends := func(n int) func(int) bool { return func(i int) bool { return i == 0 || i == n-1 } }
	for _, c := range []struct {
		name  string
		n     int
		sign  func(i int) bool
		harm  func(all [][]byte) [][]byte
		later time.Duration // than it was signed
		words []string      // none: proven
	}{
		{"all signed", 5, always, nil, 0, nil},
		{"one", 1, always, nil, 0, nil},
		{"first and last", 5, ends(5), nil, 0, nil},
		{"99 between", 101, ends(101), nil, 0, nil},
		{"100 between", 102, ends(102), nil, 0, []string{"more than 99"}},
		{"first not signed", 3, func(i int) bool { return i > 0 }, nil, 0, []string{"not signed"}},
		{"last not signed", 3, func(i int) bool { return i < 2 }, nil, 0, []string{"last message is not signed"}},
		{"none signed", 3, func(int) bool { return false }, nil, 0, []string{"not signed"}},
		{"one lost", 5, ends(5), func(all [][]byte) [][]byte { return append(all[:2:2], all[3:]...) }, 0, []string{"is wrong"}},
		{"two exchanged", 5, ends(5), func(all [][]byte) [][]byte {
			all[1], all[2] = all[2], all[1]
			return all
		}, 0, []string{"is wrong"}},
		{"one changed", 5, ends(5), func(all [][]byte) [][]byte {
			all[2][40] ^= 1
			return all
		}, 0, []string{"is wrong"}},
		{"signed and changed", 5, always, func(all [][]byte) [][]byte {
			all[3][40] ^= 1
			return all
		}, 0, []string{"is wrong"}},
		{"one twice", 3, always, func(all [][]byte) [][]byte { return append(all[:2:2], all[1:]...) }, 0, []string{"is wrong"}},
		{"within the fudge", 2, always, nil, 299 * time.Second, nil},
		{"too late", 2, always, nil, 302 * time.Second, []string{"clocks"}},
		{"too early", 2, always, nil, -302 * time.Second, []string{"clocks"}},
		{"ID changed on the way", 2, always, func(all [][]byte) [][]byte {
			all[0][0] ^= 1 // the TSIG has the original one, RFC 8945 section 4.2
			return all
		}, 0, nil},
	} {
		for _, algorithm := range []string{"hmac-sha256", "hmac-sha512"} {
			t.Run(c.name+"/"+algorithm, func(t *testing.T) {
				k := testKey(t, algorithm)
				requestMAC := []byte("the MAC of the request")
				all := signedStream(t, algorithm, fmt.Sprintf("%x", requestMAC), c.n, c.sign)
				if c.harm != nil {
					all = c.harm(all)
				}
				s := k.stream(requestMAC)
				var err error
				for _, raw := range all {
					var m *message
					if m, err = readMessage(raw); err != nil {
						break
					}
					if err = s.message(m, time.Now().Add(c.later)); err != nil {
						break
					}
				}
				if err == nil {
					err = s.whole()
				}
				if c.words == nil {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				checkSays(t, err, c.words...)
			})
		}
	}
}

// A key's name alone does not do: the algorithm is part of it, and a MAC is never
// shorter than its hash.
func TestTSIGIsNotWeakened(t *testing.T) {
	requestMAC := []byte("request")
	weak := signedStream(t, "hmac-sha256", fmt.Sprintf("%x", requestMAC), 1, func(int) bool { return true })[0]
	m, err := readMessage(weak)
	if err != nil {
		t.Fatal(err)
	}
	checkSays(t, testKey(t, "hmac-sha512").stream(requestMAC).message(m, time.Now()), "hmac-sha256", "expected hmac-sha512")

	k := testKey(t, "hmac-sha256")
	m.tsig.mac = m.tsig.mac[:10]
	checkSays(t, k.stream(requestMAC).message(m, time.Now()), "is wrong")
	m.tsig.mac = nil
	checkSays(t, k.stream(requestMAC).message(m, time.Now()), "is wrong")
	m.tsig.name = []byte("\x05other\x00")
	checkSays(t, k.stream(requestMAC).message(m, time.Now()), "key other", "expected key.test")
}

func TestTSIGHasToBeLast(t *testing.T) {
	m := new(dns.Msg)
	m.SetQuestion("rpz.test.", dns.TypeSOA)
	m.SetTsig("key.test.", "hmac-sha256.", 300, time.Now().Unix())
	raw, _, err := dns.TsigGenerate(m, testSecret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readMessage(raw); err != nil {
		t.Fatal(err)
	}
	opt := []byte{0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(raw[10:], 2)
	_, err = readMessage(append(raw, opt...))
	checkSays(t, err, "not its last record")
}

func TestTSIGSecretIsBase64(t *testing.T) {
	k := testKey(t, "")
	if got := base64.StdEncoding.EncodeToString(k.secret); got != testSecret {
		t.Errorf("secret %q", got)
	}
}
