package feed

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// BenchmarkFetch fetches a list of a million names over TLS on loopback, the
// server's work included, up to its judgement (which reads nothing here).
func BenchmarkFetch(b *testing.B) {
	var list strings.Builder
	for n := range 1_000_000 {
		fmt.Fprintf(&list, "host-%08d.example\n", n)
	}
	for _, encoding := range []struct {
		name string
		sent []byte
	}{
		{"", []byte(list.String())},
		{"gzip", gz(b, list.String(), gzip.Header{})},
		{"zstd", zst(b, list.String())},
	} {
		b.Run("encoding="+encoding.name, func(b *testing.B) {
			o := newOrigin(b, func(w http.ResponseWriter, _ *http.Request) {
				if encoding.name != "" {
					w.Header().Set("Content-Encoding", encoding.name)
				}
				_, _ = w.Write(encoding.sent)
			})
			r := newRemotes(b, openStore(b, b.TempDir()), RemoteOptions{RootCAs: o.roots()})
			list, err := RemoteSpec{Name: "feed", URL: o.URL}.check()
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len("host-00000000.example\n") * 1_000_000))
			for b.Loop() {
				got, err := r.fetcher.fetch(b.Context(), list, nil)
				if err != nil {
					b.Fatal(err)
				}
				r.store.release(*got.candidate)
			}
		})
	}
}
