package guard

// Outcome is what becomes of an entry.
type Outcome uint8

const (
	// Accept lets the entry block.
	Accept Outcome = iota
	// Hold keeps the entry out until an operator approves it.
	Hold
	// Refuse keeps the entry out. An operator can still approve it by name.
	Refuse
)

// String is the outcome as commands and logs show it.
func (o Outcome) String() string {
	switch o {
	case Hold:
		return "hold"
	case Refuse:
		return "refuse"
	}
	return "accept"
}

// Kind is what an entry would harm. Empty where it is accepted.
type Kind string

// The kinds of harm.
const (
	PublicSuffix Kind = "public-suffix" // every customer of a registry or hoster
	Platform     Kind = "platform"      // every user of a shared service
	Essential    Kind = "essential"     // what the DNS, certificates, updates and clocks need
	Protected    Kind = "protected"     // what the operator's own files name
	Popular      Kind = "popular"       // what many people use
	Special      Kind = "special-use"   // addresses that mean another machine to everyone
	Wide         Kind = "wide"          // a good part of the Internet, or of the clients
)

// Finding is the judgement of one entry. Its zero value accepts.
type Finding struct {
	Outcome Outcome
	Kind    Kind
	// Reason is one lower-case sentence without a final stop: what was found and
	// what to do. Empty where the entry is accepted.
	Reason string
}
