package feed

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

var gzipHeader gzip.Header

// observe is a logger, and what it was told so far.
func observe(t testing.TB) (*zap.Logger, func() string) {
	t.Helper()
	var mu sync.Mutex
	var text bytes.Buffer
	sink := zapcore.Lock(zapcore.AddSync(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	})))
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), sink, zap.DebugLevel)
	return zap.New(core), func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// checkSays wants all of words in the error.
func checkSays(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, expected one that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q, expected %q in it", err, w)
		}
	}
}
