package feed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// body is the content of one answer: bounded, its Content-Encoding undone. Its
// io.EOF means that all of it came.
//
//	connection -> pace (time) -> wire (count, limit) -> buffer -> gzip | zstd | as is -> body (limit, ratio)
type body struct {
	ctx    context.Context // of the transfer; its cause is the reason where it ended
	at     *url.URL
	resp   *http.Response
	limits Limits

	pace *pace
	wire *wire
	text io.ReadCloser
	in   *bufio.Reader // over text, so that its head can be looked at

	read   int64
	last   byte // read
	packed bool // the content is gzip or zstd itself, and shows whether it is whole
	err    error
}

// newBody takes the answer over. cancel ends ctx, the answer's context.
func newBody(ctx context.Context, cancel context.CancelCauseFunc, resp *http.Response, l Limits, b Bounds, tell func(int64)) (*body, error) {
	r := &body{ctx: ctx, at: resp.Request.URL, resp: resp, limits: l}
	if resp.ContentLength > l.File {
		resp.Body.Close()
		return nil, r.tooLarge(resp.ContentLength)
	}
	r.pace = newPace(resp.Body, b, cancel, tell)
	r.wire = &wire{r: r.pace, limit: l.File}
	var err error
	if r.text, err = decode(resp.Header, bufio.NewReaderSize(r.wire, readSize)); err != nil {
		r.close()
		return nil, r.explain(err)
	}
	r.in = bufio.NewReaderSize(r.text, headSize)
	return r, nil
}

// headSize is how much of a body is looked at before it is taken.
const headSize = 4 << 10

// head is the beginning of the content, headSize octets or all of it.
func (r *body) head() ([]byte, error) {
	head, err := r.in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, r.explain(err)
	}
	r.packed = isGzip(head) || isZstd(head)
	return head, nil
}

// Read reads content. Call head before it.
func (r *body) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.in.Read(p)
	r.read += int64(n)
	if n > 0 {
		r.last = p[n-1]
	}
	defer func() {
		if r.err != nil {
			r.pace.stop() // whoever has read all may take time before close
		}
	}()
	switch {
	case r.read > r.limits.File:
		n -= int(r.read - r.limits.File)
		r.err = r.tooLarge(r.read)
	case r.read > ratioFrom && r.read/r.limits.Ratio > r.wire.read:
		r.err = fmt.Errorf("%s: %s that came became %s of content, expected at most %d times as much: this looks like a compression bomb",
			shown(r.at), size(r.wire.read), size(r.read), r.limits.Ratio)
	case errors.Is(err, io.EOF) && r.ctx.Err() != nil:
		r.err = r.explain(err) // a server whose connection we give up may still end its answer in order
	case errors.Is(err, io.EOF):
		if r.err = io.EOF; r.mayBeCut() {
			r.err = fmt.Errorf("%s: ends within a line after %s, and the server does not say how long it is: expected a whole list (%w)",
				shown(r.at), size(r.read), io.ErrUnexpectedEOF)
		}
	case err != nil:
		r.err = r.explain(err)
	}
	return n, r.err
}

// mayBeCut is true for a text that ends within a line where only the end of the
// connection ends it: HTTP/1 without Content-Length and chunks.
func (r *body) mayBeCut() bool {
	told := r.resp.ContentLength >= 0 || r.resp.ProtoMajor != 1 || slices.Contains(r.resp.TransferEncoding, "chunked")
	return !told && !r.packed && encodingOf(r.resp.Header) == "" && bytes.IndexByte([]byte("\n}]"), r.last) < 0
}

// close ends the transfer, whether or not all was read.
func (r *body) close() {
	r.pace.stop()
	r.resp.Body.Close()
	if r.text != nil {
		r.text.Close()
	}
}

func (r *body) tooLarge(found int64) error {
	return fmt.Errorf("%s: %s or more, expected at most %s: ask its maker for a list in parts", shown(r.at), size(found), size(r.limits.File))
}

// explain turns an error from below into a sentence.
func (r *body) explain(err error) error {
	var fault error
	if r.wire != nil {
		fault = r.wire.fault
	}
	switch {
	case r.ctx.Err() != nil:
		return fmt.Errorf("%s: %w", shown(r.at), context.Cause(r.ctx))
	case errors.Is(fault, errFileGrew):
		return r.tooLarge(r.wire.read)
	case errors.Is(fault, io.ErrUnexpectedEOF) && r.resp.ContentLength >= 0:
		return fmt.Errorf("%s: broke off after %s of %s (%w)", shown(r.at), size(r.wire.read), size(r.resp.ContentLength), fault)
	case fault != nil:
		return fmt.Errorf("%s: broke off after %s (%w)", shown(r.at), size(r.wire.read), fault)
	case errors.Is(err, errEncoding):
		return fmt.Errorf("%s: %w", shown(r.at), err)
	}
	return fmt.Errorf("%s: Content-Encoding %s does not unpack: %w", shown(r.at), encodingOf(r.resp.Header), explain(err))
}

// wire counts and bounds what comes.
type wire struct {
	r     io.Reader
	limit int64
	read  int64
	fault error // what ended the transfer before its end
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.read += int64(n)
	if w.read > w.limit {
		n, err = 0, errFileGrew
	}
	if err != nil && !errors.Is(err, io.EOF) {
		w.fault = err
	}
	return n, err
}

var errEncoding = errors.New("content is not encoded as was asked for")

// decode undoes the Content-Encoding. What the content itself is, is left as it
// is: the copy of a list that its maker packed stays packed.
func decode(h http.Header, in *bufio.Reader) (io.ReadCloser, error) {
	encoding := encodingOf(h)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var right bool
	switch encoding {
	case "":
		return io.NopCloser(in), nil
	case "gzip":
		if right = isGzip(head); right {
			return &gzipText{src: in}, nil
		}
	case "zstd":
		if right = isZstd(head); right {
			return newZstdText(in)
		}
	default:
		return nil, fmt.Errorf("Content-Encoding %q, expected gzip, zstd or none (%w)", encoding, errEncoding)
	}
	return nil, fmt.Errorf("Content-Encoding %s, but the content is not that: the server or a proxy has a fault (%w)", encoding, errEncoding)
}

// encodingOf is the Content-Encoding in lower case, empty for none.
func encodingOf(h http.Header) string {
	switch e := strings.ToLower(strings.TrimSpace(strings.Join(h.Values("Content-Encoding"), ", "))); e {
	case "identity":
		return ""
	case "x-gzip":
		return "gzip"
	default:
		return e
	}
}

// checkPage is an error where a page for people stands in the list's place. No
// list in any notation begins with "<".
func checkPage(first *url.URL, resp *http.Response, head []byte) error {
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(text) == 0 {
		if len(head) == headSize {
			return nil
		}
		return fmt.Errorf("%s: the answer is empty, expected a list", shown(resp.Request.URL))
	}
	if text[0] != '<' {
		return nil
	}
	what := "an HTML or XML page"
	if title := titleOf(text); title != "" {
		what += fmt.Sprintf(" titled %q", title)
	}
	if at := resp.Request.URL; resource(at) != resource(first) {
		what += ", to which " + shown(first) + " redirects"
	}
	advice := "it may be an error page: look at it in a browser"
	if isLogin(resp.Request.URL, text) {
		advice = "it is a login page: set the list's auth, or the URL that gives the list without a login"
	}
	return fmt.Errorf("%s: %s, expected a list: %s", shown(resp.Request.URL), what, advice)
}

// isLogin tells a login page by its address or by its field for a password.
func isLogin(at *url.URL, page []byte) bool {
	path := strings.ToLower(at.Host + at.Path)
	for _, word := range []string{"login", "logon", "signin", "sign-in", "sign_in", "sso", "oauth", "saml"} {
		if strings.Contains(path, word) {
			return true
		}
	}
	page = bytes.ToLower(page)
	return bytes.Contains(page, []byte(`type="password"`)) || bytes.Contains(page, []byte(`type='password'`)) || bytes.Contains(page, []byte(`type=password`))
}

// titleOf is what the page is called, shortened; the caller quotes it.
func titleOf(page []byte) string {
	lower := bytes.ToLower(page)
	_, rest, found := bytes.Cut(lower, []byte("<title>"))
	end := bytes.Index(rest, []byte("</title>"))
	if !found || end < 0 || len(lower) != len(page) {
		return ""
	}
	start := len(page) - len(rest)
	const longest = 60
	title := strings.Join(strings.Fields(strings.ToValidUTF8(string(page[start:start+end]), "?")), " ")
	if len(title) > longest {
		title = strings.ToValidUTF8(title[:longest], "") + "..."
	}
	return title
}
