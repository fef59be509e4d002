package configs

// cookieSecretLength is that of a key of SipHash, in octets (RFC 9018 section 4.4).
const cookieSecretLength = 16

// CookieSecrets reads the secrets of server cookies: the first signs, all are believed.
// None where no file is named.
func (c *Clients) CookieSecrets() (all [][cookieSecretLength]byte, err error) {
	if c.CookieSecretFile == "" {
		return nil, nil
	}
	secrets, err := readKeys(c.CookieSecretFile, cookieSecretLength)
	for _, secret := range secrets {
		all = append(all, [cookieSecretLength]byte(secret))
	}
	return all, err
}
