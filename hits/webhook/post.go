package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxReply bounds what is read of an answer, so that its connection can be used again.
const maxReply = 64 << 10

// statusError is an answer that says no.
type statusError struct{ code int }

func (e *statusError) Error() string {
	return fmt.Sprintf("found the status %d %s, expected one of 200 to 299", e.code, http.StatusText(e.code))
}

// final reports whether the body itself is refused, so that trying again helps nothing. What a
// person can mend at the receiver (a path, a secret) is none of it.
func (e *statusError) final() bool {
	switch e.code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

// post sends a body, signed as Standard Webhooks has it.
func (w *Webhook) post(ctx context.Context, id string, body []byte) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, w.o.URL, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("User-Agent", "sinkhole")
	q.Header.Set("webhook-id", id)
	q.Header.Set("webhook-timestamp", stamp)
	secret, err := w.o.Secret()
	if err != nil {
		return err
	}
	if len(secret) > 0 {
		q.Header.Set("webhook-signature", sign(secret, id, stamp, body))
	}
	a, err := w.client.Do(q)
	if err != nil {
		return withoutURL(err)
	}
	defer a.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(a.Body, maxReply)) // what it says decides nothing
	if a.StatusCode < 200 || a.StatusCode > 299 {
		return &statusError{a.StatusCode}
	}
	return nil
}

// secretPrefix is before a secret in base64.
const secretPrefix = "whsec_"

// sign is the header webhook-signature: HMAC-SHA-256 of the id, the time and the body, divided
// by dots, in base64.
func sign(secret []byte, id, stamp string, body []byte) string {
	if text, ok := strings.CutPrefix(string(secret), secretPrefix); ok {
		if key, err := base64.StdEncoding.DecodeString(text); err == nil {
			secret = key
		}
	}
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
