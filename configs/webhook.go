package configs

import (
	"net/netip"
	"net/url"
)

// WebhookKey reads the secret of the webhook, nil where no file is named.
func (h *Hits) WebhookKey() ([]byte, error) {
	secret, err := readSecret(h.WebhookSecret)
	if err != nil || secret == "" {
		return nil, err
	}
	return []byte(secret), nil
}

// webhook does not show the URL, which may have a secret in it.
func (v *validator) webhook() {
	const key = "hits.webhook"
	if v.Hits.Webhook == "" {
		if v.Hits.WebhookSecret != "" {
			v.fault("hits.webhook_secret_file", "found a file without hits.webhook, expected that too")
		}
		return
	}
	u, err := url.Parse(v.Hits.Webhook)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		v.fault(key, `found no URL of HTTPS, expected one such as "https://soc.example/hooks/sinkhole"`)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.fault(key, "found http:// of a host that is not a loopback address, expected https://: it names infected machines")
	case u.User != nil:
		v.fault(key, "found a user in the URL, expected none: let the receiver check the signature of hits.webhook_secret_file")
	case u.Fragment != "":
		v.fault(key, "found a fragment in the URL, expected none")
	case v.Hits.Inventory == "":
		v.fault(key, "found a webhook without hits.inventory, expected that too: it is told of its machines")
	}
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
