package landing

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

//go:embed notice.html
var noticePage []byte

// maxNotice bounds the file of a notice.
const maxNotice = 64 << 10

// Notice is the page that HTTP clients get.
type Notice struct {
	text        []byte
	contentType string
}

func defaultNotice() *Notice { return &Notice{noticePage, "text/html; charset=utf-8"} }

// ReadNotice reads a page: HTML where the file's name ends so, else plain text. Without a path
// it is that of this package.
func ReadNotice(path string) (*Notice, error) {
	if path == "" {
		return defaultNotice(), nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is a directory, device or pipe, expected a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxNotice+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxNotice:
		return nil, fmt.Errorf("%s: found more than %d KiB, expected a short page", path, maxNotice>>10)
	case len(data) == 0:
		return nil, fmt.Errorf("%s: found nothing, expected a page in HTML (.html) or plain text", path)
	}
	n := &Notice{data, "text/plain; charset=utf-8"}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".html", ".htm":
		n.contentType = "text/html; charset=utf-8"
	}
	return n, nil
}
