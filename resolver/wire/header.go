// Package wire reads and writes packed DNS messages without unpacking them: a
// query becomes a [Query], an upstream's reply is described by a [Reply], and
// answers are built by appending to the buffer that is sent. Nothing here
// allocates once its buffers have grown, but where that is said.
//
// A name is the sequence of its labels in wire form, uncompressed, root label
// included. DESIGN.md says what is promised of hostile messages.
package wire

import "encoding/binary"

// The second 16 bits of a message header (RFC 1035 section 4.1.1, RFC 4035
// section 3).
const (
	QR uint16 = 1 << 15
	AA uint16 = 1 << 10
	TC uint16 = 1 << 9
	RD uint16 = 1 << 8
	RA uint16 = 1 << 7
	AD uint16 = 1 << 5
	CD uint16 = 1 << 4

	// OpcodeMask and RCodeMask select the fields that are not flags; the opcode
	// stands OpcodeShift bits up.
	OpcodeMask  uint16 = 0xF << OpcodeShift
	OpcodeShift        = 11
	RCodeMask   uint16 = 0xF
)

// Response codes that a resolver gives or acts on (RFC 1035, RFC 6895).
const (
	RCodeNoError  uint16 = 0
	RCodeFormErr  uint16 = 1
	RCodeServFail uint16 = 2
	RCodeNXDomain uint16 = 3
	RCodeNotImp   uint16 = 4
	RCodeRefused  uint16 = 5
	RCodeYXDomain uint16 = 6
	RCodeBadVers  uint16 = 16
)

// HeaderLen is where the question section of a message begins.
const HeaderLen = 12

// MaxMessage is the longest message that any transport carries.
const MaxMessage = 65535

// offsets within the header
const (
	atFlags      = 2
	atQuestions  = 4
	atAnswers    = 6
	atAuthority  = 8
	atAdditional = 10
)

// ID is the message ID of a packed message of at least [HeaderLen] octets.
func ID(msg []byte) uint16 { return binary.BigEndian.Uint16(msg) }

// SetID writes the message ID.
func SetID(msg []byte, id uint16) { binary.BigEndian.PutUint16(msg, id) }

// Flags is the second 16 bits of the header: flags, opcode and the lower four
// bits of the response code.
func Flags(msg []byte) uint16 { return binary.BigEndian.Uint16(msg[atFlags:]) }

// SetFlags writes the second 16 bits of the header.
func SetFlags(msg []byte, flags uint16) { binary.BigEndian.PutUint16(msg[atFlags:], flags) }

// SetCounts writes how many records the answer, authority and additional
// sections hold. An OPT record counts as additional.
func SetCounts(msg []byte, an, ns, ar uint16) {
	binary.BigEndian.PutUint16(msg[atAnswers:], an)
	binary.BigEndian.PutUint16(msg[atAuthority:], ns)
	binary.BigEndian.PutUint16(msg[atAdditional:], ar)
}

// Counts reads what [SetCounts] writes.
func Counts(msg []byte) (an, ns, ar uint16) {
	return binary.BigEndian.Uint16(msg[atAnswers:]),
		binary.BigEndian.Uint16(msg[atAuthority:]),
		binary.BigEndian.Uint16(msg[atAdditional:])
}
