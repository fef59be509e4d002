package landing

import (
	"crypto/tls"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// Numbers of RFC 8446, sections 4.2 and 5.1, and RFC 7301.
const (
	recordHandshake        = 22
	messageClientHello     = 1
	extensionServerName    = 0
	extensionSignatures    = 13
	extensionALPN          = 16
	extensionVersions      = 43
	maxClientHello         = 16 << 10 // what servers take
	maxALPN                = 16       // names that are kept
	recordHeader           = 5
	messageHeader          = 4
	maxRecord              = 16 << 10
	maxRecords             = 1024 // that a ClientHello may be cut into
	serverNameTypeHostName = 0
)

var (
	errPartial = errors.New("the ClientHello is not whole yet")
	errNoHello = errors.New("not a ClientHello")
)

// clientHello is what a client says of itself, in its order.
type clientHello struct {
	version    uint16 // the highest of supported_versions, without it legacy_version
	ciphers    []uint16
	extensions []uint16
	signatures []uint16
	alpn       []string
	serverName string
	named      bool // it has the extension server_name, whatever is in it
}

// parseClientHello reads the first flight of a TLS connection: a ClientHello in one record
// or several. errPartial says that more octets may make one, need of them.
func parseClientHello(data []byte) (h *clientHello, need int, err error) {
	body, need, err := helloBody(data)
	if err != nil {
		return nil, need, err
	}
	h, err = parseHello(body)
	return h, 0, err
}

func parseHello(body []byte) (*clientHello, error) {
	s := cryptobyte.String(body)
	h := new(clientHello)
	var session, ciphers, compression cryptobyte.String
	if !s.ReadUint16(&h.version) || !s.Skip(32) || !s.ReadUint8LengthPrefixed(&session) ||
		!s.ReadUint16LengthPrefixed(&ciphers) || !s.ReadUint8LengthPrefixed(&compression) {
		return nil, errNoHello
	}
	var ok bool
	if h.ciphers, ok = numbers(ciphers); !ok {
		return nil, errNoHello
	}
	if s.Empty() { // no extensions
		return h, nil
	}
	var extensions cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&extensions) {
		return nil, errNoHello
	}
	for !extensions.Empty() {
		var number uint16
		var content cryptobyte.String
		if !extensions.ReadUint16(&number) || !extensions.ReadUint16LengthPrefixed(&content) {
			return nil, errNoHello
		}
		h.extensions = append(h.extensions, number)
		h.read(number, content)
	}
	return h, nil
}

// helloBody puts the records together and gives what the message holds. need is how many
// octets there have to be before it is worth while to try again.
func helloBody(data []byte) (body []byte, need int, err error) {
	var message []byte
	at := 0
	for range maxRecords {
		rest := data[at:]
		// What is there must fit, however little it is.
		if len(rest) > 0 && rest[0] != recordHandshake || len(rest) > 1 && rest[1] != 3 {
			return nil, 0, errNoHello
		}
		if len(rest) < recordHeader {
			return nil, at + recordHeader, errPartial
		}
		n := int(rest[3])<<8 | int(rest[4])
		if n == 0 || n > maxRecord {
			return nil, 0, errNoHello
		}
		content := rest[recordHeader:min(recordHeader+n, len(rest))]
		message = append(message, content...)
		if len(message) > 0 && message[0] != messageClientHello {
			return nil, 0, errNoHello
		}
		if len(message) >= messageHeader {
			size := int(message[1])<<16 | int(message[2])<<8 | int(message[3])
			if size > maxClientHello {
				return nil, 0, errNoHello
			}
			if len(message) >= messageHeader+size {
				return message[messageHeader : messageHeader+size], 0, nil
			}
			need = at + recordHeader + len(content) + messageHeader + size - len(message)
		}
		at += recordHeader + n
		if len(content) < n {
			return nil, max(len(data)+1, min(need, at)), errPartial
		}
	}
	return nil, 0, errNoHello
}

// read takes what is known of an extension. A faulty one stays a number in the list.
func (h *clientHello) read(number uint16, content cryptobyte.String) {
	var list cryptobyte.String
	switch number {
	case extensionServerName:
		h.named = true
		if content.ReadUint16LengthPrefixed(&list) {
			h.serverName = hostName(list)
		}
	case extensionSignatures:
		if content.ReadUint16LengthPrefixed(&list) {
			h.signatures, _ = numbers(list)
		}
	case extensionALPN:
		if content.ReadUint16LengthPrefixed(&list) {
			h.alpn = protocols(list)
		}
	case extensionVersions:
		if !content.ReadUint8LengthPrefixed(&list) {
			return
		}
		versions, _ := numbers(list)
		versions = slices.DeleteFunc(versions, grease)
		if len(versions) > 0 {
			h.version = slices.Max(versions)
		}
	}
}

func hostName(list cryptobyte.String) string {
	for !list.Empty() {
		var kind uint8
		var name cryptobyte.String
		if !list.ReadUint8(&kind) || !list.ReadUint16LengthPrefixed(&name) {
			return ""
		}
		if kind == serverNameTypeHostName {
			return string(name)
		}
	}
	return ""
}

func protocols(list cryptobyte.String) (names []string) {
	for !list.Empty() && len(names) < maxALPN {
		var name cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&name) || len(name) == 0 {
			return names
		}
		names = append(names, string(name))
	}
	return names
}

// numbers reads 16-bit numbers; ok is false where an octet is left over.
func numbers(s cryptobyte.String) (all []uint16, ok bool) {
	for !s.Empty() {
		var n uint16
		if !s.ReadUint16(&n) {
			return all, false
		}
		all = append(all, n)
	}
	return all, true
}

// grease tells whether a number is one of those that clients put in at random (RFC 8701).
func grease(n uint16) bool { return n&0x0f0f == 0x0a0a && n>>8 == n&0xff }

// versionCode is what JA4 writes for a version.
func versionCode(v uint16) string {
	switch v {
	case tls.VersionTLS13:
		return "13"
	case tls.VersionTLS12:
		return "12"
	case tls.VersionTLS11:
		return "11"
	case tls.VersionTLS10:
		return "10"
	case 0x0300: // SSL
		return "s3"
	case 0x0002:
		return "s2"
	}
	return "00"
}
