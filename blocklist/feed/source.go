package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// sourceDigest tells sources apart without what may be secret of them: it is the
// digest of a source as configured.
type sourceDigest string

func sourceDigestOf(source string) sourceDigest {
	sum := sha256.Sum256([]byte(source))
	return sourceDigest(digestPrefix + hex.EncodeToString(sum[:]))
}

// ShownSource is a source as it is shown and kept: of a URL without what stands
// before the host or behind the path, which may be a key.
func ShownSource(source string) string {
	scheme, _, found := strings.Cut(source, "://")
	if !found {
		return source
	}
	u, err := url.Parse(source)
	switch {
	case err != nil:
		return scheme + "://..."
	case u.User == nil && u.RawQuery == "" && (u.Fragment == "" || u.Scheme == zoneTLSScheme): // as it was written
		return source
	}
	return shown(u)
}

// shown is a URL as messages may show it, see [ShownSource].
func shown(u *url.URL) string {
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, Opaque: u.Opaque}
	if u.RawQuery != "" {
		return bare.String() + "?..."
	}
	return bare.String()
}

// urlFault words the error of a source that is no URL. That of package net/url
// may show what stands before the host: a password that is not escaped.
func urlFault(source string, err error) error {
	if at := strings.LastIndexByte(source, '@'); at >= 0 {
		scheme, _, _ := strings.Cut(source, "://")
		if _, err = url.Parse(scheme + "://" + source[at+1:]); err == nil {
			return errors.New("a character before @, in user or password, stands for something else in a URL: write it as % and two hexadecimal digits")
		}
	}
	if fault, ok := errors.AsType[*url.Error](err); ok {
		err = fault.Err
	}
	return fmt.Errorf("not a URL (%w)", err)
}
