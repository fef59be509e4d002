package configs

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// readKeys reads a file of keys of a length, in octets, as hexadecimal digits, one a line;
// at least one, or an error.
func readKeys(path string, length int) (all [][]byte, err error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxSecret))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		secret, err := hex.DecodeString(line)
		if err != nil || len(secret) != length {
			return nil, fmt.Errorf("%s:%d: found what is no secret, expected %d hexadecimal digits a line, as openssl rand -hex %d writes them",
				path, n, 2*length, length)
		}
		all = append(all, secret)
	}
	if err := lines.Err(); err != nil {
		return nil, refuseFile(path, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: found no secret, expected %d hexadecimal digits a line", path, 2*length)
	}
	return all, nil
}

// identityKeyLength is of the key of pseudonyms, in octets.
const identityKeyLength = 32

// IdentityKey reads the key of pseudonyms; nil where none are made.
func (h *Hits) IdentityKey() ([]byte, error) {
	if h.Identity != IdentityPseudonym {
		return nil, nil
	}
	keys, err := readKeys(h.IdentityKeyFile, identityKeyLength)
	if err != nil {
		return nil, err
	}
	if len(keys) > 1 {
		return nil, fmt.Errorf("%s: found %d keys, expected one", h.IdentityKeyFile, len(keys))
	}
	return keys[0], nil
}
