package feed

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"
)

// TSIG is a key shared with a primary, RFC 8945. Without name and secret it is
// none.
type TSIG struct {
	Name      string // of the key, as the primary calls it
	Algorithm string // hmac-sha256, the default, or hmac-sha512
	Secret    string // base64, as tsig-keygen writes it
}

const (
	typeTSIG = 250
	classAny = 255

	tsigFudge = 300 // seconds that two clocks may differ (RFC 8945 section 10)
	// maxUnsigned is how many messages of a stream may stand between two that
	// are signed (RFC 8945 section 5.3.1).
	maxUnsigned = 99
)

// Extended response codes of TSIG, RFC 8945 section 3.
const (
	tsigBadSig  = 16
	tsigBadKey  = 17
	tsigBadTime = 18
)

// tsigKey is a TSIG that was found right.
type tsigKey struct {
	shown     string // the name, for messages
	name      []byte // in wire form
	algorithm []byte // likewise
	newHash   func() hash.Hash
	secret    []byte
}

// key is nil where there is no key: an algorithm alone is none. The error never names the secret.
func (t TSIG) key() (*tsigKey, error) {
	if t.Name == "" && t.Secret == "" {
		return nil, nil
	}
	k := &tsigKey{shown: strings.TrimSuffix(t.Name, ".")}
	var err error
	if k.name, err = parseName(t.Name); err != nil || len(k.name) == 1 {
		return nil, fmt.Errorf("TSIG key %q: expected the name that the primary knows the key by", t.Name)
	}
	algorithm := strings.ToLower(strings.TrimSuffix(t.Algorithm, "."))
	switch algorithm {
	case "":
		algorithm = "hmac-sha256"
		k.newHash = sha256.New
	case "hmac-sha256":
		k.newHash = sha256.New
	case "hmac-sha512":
		k.newHash = sha512.New
	default:
		return nil, fmt.Errorf("TSIG key %s: algorithm %q, expected hmac-sha256 or hmac-sha512", k.shown, t.Algorithm)
	}
	k.algorithm, _ = parseName(algorithm)
	text := strings.TrimSpace(t.Secret)
	if text == "" {
		return nil, fmt.Errorf("TSIG key %s: no secret, expected base64 in tsig.secret_file", k.shown)
	}
	if k.secret, err = base64.StdEncoding.DecodeString(text); err != nil || len(k.secret) == 0 {
		return nil, fmt.Errorf("TSIG key %s: the secret is not base64, expected what stands in quotes after \"secret\" in the primary's key", k.shown)
	}
	return k, nil
}

// tsigRecord is the TSIG of a message.
type tsigRecord struct {
	at              int // where the record begins
	name, algorithm []byte
	time            uint64
	fudge           uint16
	mac             []byte
	id              uint16 // of the message as it was signed
	err             uint16
	other           []byte
}

// sign appends a TSIG to a message. The prior MAC is that of the request, nil
// for a request. The MAC is returned beside.
func (k *tsigKey) sign(message, prior []byte, now time.Time) (signed, mac []byte) {
	r := tsigRecord{name: k.name, algorithm: k.algorithm, fudge: tsigFudge, time: uint64(now.Unix()), id: binary.BigEndian.Uint16(message)}
	return k.seal(&r, message, prior), r.mac
}

// signLate answers a request of another time with this machine's, RFC 8945
// section 5.2.3.
func (k *tsigKey) signLate(message []byte, request *tsigRecord, now time.Time) []byte {
	r := *request
	r.err = tsigBadTime
	r.other = binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))[2:]
	return k.seal(&r, message, request.mac)
}

func (k *tsigKey) seal(r *tsigRecord, message, prior []byte) []byte {
	h := hmac.New(k.newHash, k.secret)
	digestPrior(h, prior)
	h.Write(message)
	r.digestVariables(h)
	r.mac = h.Sum(nil)
	return r.append(message)
}

// append puts the record at the end of a message.
func (r *tsigRecord) append(message []byte) []byte {
	m := append(message, r.name...)
	m = binary.BigEndian.AppendUint16(m, typeTSIG)
	m = binary.BigEndian.AppendUint16(m, classAny)
	m = binary.BigEndian.AppendUint32(m, 0)
	m = binary.BigEndian.AppendUint16(m, uint16(len(r.algorithm)+16+len(r.mac)+len(r.other)))
	m = append(m, r.algorithm...)
	m = r.appendTimers(m)
	m = binary.BigEndian.AppendUint16(m, uint16(len(r.mac)))
	m = append(m, r.mac...)
	m = binary.BigEndian.AppendUint16(m, r.id)
	m = binary.BigEndian.AppendUint16(m, r.err)
	m = binary.BigEndian.AppendUint16(m, uint16(len(r.other)))
	m = append(m, r.other...)
	binary.BigEndian.PutUint16(m[10:], binary.BigEndian.Uint16(m[10:])+1)
	return m
}

func (r *tsigRecord) appendTimers(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(r.time>>32))
	b = binary.BigEndian.AppendUint32(b, uint32(r.time))
	return binary.BigEndian.AppendUint16(b, r.fudge)
}

// digestVariables, RFC 8945 section 4.3.3.
func (r *tsigRecord) digestVariables(h hash.Hash) {
	b := append([]byte(nil), r.name...)
	b = binary.BigEndian.AppendUint16(b, classAny)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = append(b, r.algorithm...)
	b = r.appendTimers(b)
	b = binary.BigEndian.AppendUint16(b, r.err)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.other)))
	h.Write(append(b, r.other...))
}

// digestPrior begins with the MAC that the message depends on.
func digestPrior(h hash.Hash, mac []byte) {
	if mac != nil {
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(mac))))
		h.Write(mac)
	}
}

// digestMessage takes in a message as it was before it was signed.
func (r *tsigRecord) digestMessage(h hash.Hash, message []byte) {
	var head [headerSize]byte
	copy(head[:], message)
	binary.BigEndian.PutUint16(head[:], r.id)
	binary.BigEndian.PutUint16(head[10:], binary.BigEndian.Uint16(head[10:])-1)
	h.Write(head[:])
	h.Write(message[headerSize:r.at])
}

// tsigError is a signature that does not hold.
type tsigError struct {
	code    uint16 // tsigBadSig, tsigBadKey or tsigBadTime; 0: there is none
	message string
}

func (e *tsigError) Error() string { return e.message }

// matches tells whether the record was made with this key, as far as it says.
func (k *tsigKey) matches(r *tsigRecord) error {
	if string(r.name) != string(k.name) {
		return &tsigError{tsigBadKey, fmt.Sprintf("signed with the TSIG key %s, expected %s", nameText(r.name), k.shown)}
	}
	if string(r.algorithm) != string(k.algorithm) {
		return &tsigError{tsigBadKey, fmt.Sprintf("signed with %s, expected %s", nameText(r.algorithm), nameText(k.algorithm))}
	}
	return nil
}

// proves compares the MACs, then the clocks: RFC 8945 section 5.2 in this
// order, since a time that is not proven says nothing.
func (k *tsigKey) proves(r *tsigRecord, mac []byte, now time.Time) error {
	if !hmac.Equal(mac, r.mac) {
		return &tsigError{tsigBadSig, fmt.Sprintf("the signature with the TSIG key %s is wrong: the secrets differ, or the message was changed on its way", k.shown)}
	}
	if apart := now.Unix() - int64(r.time); apart > int64(r.fudge) || -apart > int64(r.fudge) {
		return &tsigError{tsigBadTime, fmt.Sprintf("signed %d s away from this machine's time, expected at most %d s: set the clocks right", apart, r.fudge)}
	}
	return nil
}

// verify checks a request, RFC 8945 section 5.2.
func (k *tsigKey) verify(m *message, now time.Time) error {
	if err := k.matches(m.tsig); err != nil {
		return err
	}
	h := hmac.New(k.newHash, k.secret)
	m.tsig.digestMessage(h, m.raw)
	m.tsig.digestVariables(h)
	return k.proves(m.tsig, h.Sum(nil), now)
}

// tsigStream checks the messages that answer one request, RFC 8945 section
// 5.3.1.
type tsigStream struct {
	key      *tsigKey
	mac      hash.Hash // over what came since the last signature
	signed   bool      // a message was
	unsigned int       // messages since
}

func (k *tsigKey) stream(requestMAC []byte) *tsigStream {
	s := &tsigStream{key: k, mac: hmac.New(k.newHash, k.secret)}
	digestPrior(s.mac, requestMAC)
	return s
}

// message checks the next one. Nothing of it is proven until the stream's next
// signed message, see whole.
func (s *tsigStream) message(m *message, now time.Time) error {
	r := m.tsig
	if r == nil {
		if !s.signed {
			return &tsigError{message: fmt.Sprintf("is not signed, expected it signed with the TSIG key %s", s.key.shown)}
		}
		if s.unsigned++; s.unsigned > maxUnsigned {
			return &tsigError{message: fmt.Sprintf("more than %d messages in a row are not signed", maxUnsigned)}
		}
		s.mac.Write(m.raw)
		return nil
	}
	if err := r.refusal(s.key); err != nil {
		return err
	}
	if err := s.key.matches(r); err != nil {
		return err
	}
	r.digestMessage(s.mac, m.raw)
	if s.signed {
		s.mac.Write(r.appendTimers(nil))
	} else {
		r.digestVariables(s.mac)
	}
	if err := s.key.proves(r, s.mac.Sum(nil), now); err != nil {
		return err
	}
	s.mac.Reset()
	digestPrior(s.mac, r.mac)
	s.signed, s.unsigned = true, 0
	return nil
}

var errUnsignedEnd = errors.New("the last message is not signed")

// whole tells whether all messages so far are proven.
func (s *tsigStream) whole() error {
	if s.unsigned > 0 {
		return errUnsignedEnd
	}
	return nil
}

// refusal is what the primary says of our signature. It is not proven, and good
// for a message only.
func (r *tsigRecord) refusal(k *tsigKey) error {
	switch r.err {
	case 0:
		return nil
	case tsigBadKey:
		return &tsigError{tsigBadKey, fmt.Sprintf("the primary does not know the TSIG key %s with %s: correct tsig.name or tsig.algorithm", k.shown, nameText(k.algorithm))}
	case tsigBadSig:
		return &tsigError{tsigBadSig, fmt.Sprintf("the primary has another secret for the TSIG key %s: correct tsig.secret_file", k.shown)}
	case tsigBadTime:
		return &tsigError{tsigBadTime, "the primary's clock and this machine's are too far apart: set them right"}
	}
	return &tsigError{r.err, fmt.Sprintf("the primary refuses the signature with error %d", r.err)}
}
