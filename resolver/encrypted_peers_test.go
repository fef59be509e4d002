package resolver

import (
	"encoding/base64"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// kdig is answered over each transport that it speaks, and believes the certificate.
func TestKdigIsAnswered(t *testing.T) {
	t.Parallel()
	kdig := tool(t, "kdig")
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList)), servers: []string{newZone(t, trapZone).addr}})
	https, doq := strconv.Itoa(int(k.https.Addr().Port())), strconv.Itoa(int(k.quic.Addr().Port()))
	for way, args := range map[string][]string{
		"+https": {"-p", https, "+https"}, "+https-get": {"-p", https, "+https-get"}, "+quic": {"-p", doq, "+quic"},
	} {
		for name, address := range map[string]string{"bad.example": "203.0.113.1", "good.example": "192.0.2.1"} {
			// More than one query goes over one connection. On a busy machine kdig now and then
			// cannot send the second one over QUIC, and says so.
			var said []byte
			var err error
			for range 3 {
				said, err = exec.Command(kdig, append([]string{"@127.0.0.1", "+tls-ca=" + k.ca, "+tls-hostname=dns.example", "+keepopen", "+padding"}, append(args, name, name, "AAAA", name)...)...).CombinedOutput()
				if err == nil || !strings.Contains(string(said), "QUIC, failed to send") {
					break
				}
			}
			if err != nil || strings.Count(string(said), "IN\tA\t"+address) != 2 {
				t.Errorf("kdig %s %s: %v\n%s", way, name, err, said)
			}
		}
		said, err := exec.Command(kdig, append([]string{"@127.0.0.1", "+tls-ca=" + k.ca, "+tls-hostname=other.example", "+retry=0"}, append(args, "bad.example")...)...).CombinedOutput()
		if err == nil && strings.Contains(string(said), "203.0.113.1") {
			t.Errorf("kdig %s takes the certificate for another name\n%s", way, said)
		}
	}
}

// curl is answered over HTTP/2 and HTTP/1.1, by GET, POST and HEAD.
func TestCurlIsAnswered(t *testing.T) {
	t.Parallel()
	curl := tool(t, "curl")
	k := newEncryptedRig(t, rigOptions{specs: specsOf(list(t, "stealers", trapList))})
	query := queryOf(t, "bad.example.", dns.TypeA)
	file := t.TempDir() + "/query"
	check(t, os.WriteFile(file, query, 0o600))
	port := strconv.Itoa(int(k.https.Addr().Port()))
	url := "https://dns.example:" + port + dohPath
	get := url + "?dns=" + base64.RawURLEncoding.EncodeToString(query)
	versions := []string{"--http2", "--http1.1"}
	if features, err := exec.Command(curl, "-V").Output(); err == nil && strings.Contains(string(features), "HTTP3") {
		versions = append(versions, "--http3-only")
	} else {
		t.Log("this curl does not speak HTTP/3")
	}
	for _, version := range versions {
		for what, args := range map[string][]string{
			"GET": {get}, "HEAD": {"-I", get}, "POST": {"-H", "Content-Type: " + dohMediaType, "--data-binary", "@" + file, url},
		} {
			args = append([]string{"-sS", version, "--cacert", k.ca, "--resolve", "dns.example:" + port + ":127.0.0.1",
				"-o", t.TempDir() + "/answer", "-w", "%{http_code} %{content_type} %{size_download}"}, args...)
			said, err := exec.Command(curl, args...).CombinedOutput()
			want := "200 " + dohMediaType + " 45"
			if what == "HEAD" {
				want = strings.Replace(want, " 45", " ", 1)
			}
			if err != nil || !strings.HasPrefix(string(said), want) {
				t.Errorf("curl %s %s: %v %q, expected %q", version, what, err, said, want)
			}
		}
	}
}
