package configs

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// cookieSecretLength is that of a key of SipHash, in octets (RFC 9018 section 4.4).
const cookieSecretLength = 16

// CookieSecrets reads the secrets of server cookies: the first signs, all are believed.
// None where no file is named.
func (c *Clients) CookieSecrets() (all [][cookieSecretLength]byte, err error) {
	if c.CookieSecretFile == "" {
		return nil, nil
	}
	file, err := openRegular(c.CookieSecretFile)
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
		if err != nil || len(secret) != cookieSecretLength {
			return nil, fmt.Errorf("%s:%d: found what is no secret, expected %d hexadecimal digits a line, as openssl rand -hex %d writes them",
				c.CookieSecretFile, n, 2*cookieSecretLength, cookieSecretLength)
		}
		all = append(all, [cookieSecretLength]byte(secret))
	}
	if err := lines.Err(); err != nil {
		return nil, refuseFile(c.CookieSecretFile, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: found no secret, expected %d hexadecimal digits a line", c.CookieSecretFile, 2*cookieSecretLength)
	}
	return all, nil
}
