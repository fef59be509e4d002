package format

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// toASCII turns the U-labels of a name into A-labels and leaves ASCII alone.
func toASCII(text string) (string, error) {
	if isASCII(text) {
		return text, nil
	}
	if !utf8.ValidString(text) {
		return "", errors.New("a name that is not valid UTF-8, expected UTF-8 or A-labels (xn--...)")
	}
	if len(text) > maxNameText {
		return "", tooLong(len(text))
	}
	if strings.IndexByte(text, '\\') >= 0 {
		return "", errors.New("a name that mixes escapes and letters beyond ASCII, expected A-labels (xn--...)")
	}
	// The mapping for looking names up (UTS 46), but with the underscores,
	// hyphens and digits that the DNS allows and STD 3 does not.
	profile := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(),
		idna.StrictDomainName(false), idna.CheckHyphens(false))
	ascii, err := profile.ToASCII(text)
	if err != nil || !isASCII(ascii) || strings.IndexByte(ascii, '\\') >= 0 {
		return "", errors.New("a name that IDNA cannot map to A-labels, expected a valid internationalized name")
	}
	return ascii, nil
}
