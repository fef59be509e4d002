package feed

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxSecret bounds a file with a secret.
const maxSecret = 4 << 10

// readSecret reads a file of one line. The error never shows what is in it.
func readSecret(path string) (string, error) {
	file, _, err := openRegular(path)
	if err != nil {
		return "", fmt.Errorf("the secret: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("the secret: %s: cannot be read to its end: %w", path, cause(err))
	}
	secret := strings.TrimSpace(string(text))
	switch {
	case len(text) > maxSecret:
		err = fmt.Errorf("found more than %d octets", maxSecret)
	case secret == "":
		err = errors.New("found nothing")
	case strings.ContainsFunc(secret, isControl):
		err = errors.New("found several lines or a control character")
	default:
		return secret, nil
	}
	return "", fmt.Errorf("the secret: %s: %w, expected one line", path, err)
}
