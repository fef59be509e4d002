package configs

import (
	"fmt"
	"net/url"
	"path/filepath"
)

const portNATS = 4222

// StreamReceiver is that of hits.stream, with the file of the user's credentials; the zero
// Receiver where there is none.
func (h *Hits) StreamReceiver() (r Receiver, credentials string, err error) {
	const expected = `expected nats:// or tls:// and an address, as in "tls://nats.example:4222?ca=/etc/ssl/nats.pem&credentials=/etc/sinkhole/nats.creds"`
	text := h.Stream
	if u, err := url.Parse(text); err == nil && u.RawQuery != "" {
		query := u.Query()
		if query.Has("credentials") {
			if credentials = query.Get("credentials"); !filepath.IsAbs(credentials) {
				return r, "", fmt.Errorf("found credentials %q, expected the whole path of a file", credentials)
			}
			query.Del("credentials")
			u.RawQuery = query.Encode()
			text = u.String()
		}
	}
	r, err = parseReceiver(text, expected, map[string]int{"nats": portNATS, "tls": portNATS})
	return r, credentials, err
}
