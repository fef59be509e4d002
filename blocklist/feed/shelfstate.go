package feed

// state is what state.json holds. It says of a source only what may be shown,
// and by a digest which one it is.
type state struct {
	Version  int         `json:"version"`
	Name     string      `json:"name"`
	Good     *storedCopy `json:"good,omitempty"`
	Previous *storedCopy `json:"previous,omitempty"`
	Held     *storedHeld `json:"held,omitempty"`
}

type storedCopy struct {
	Copy
	SourceDigest sourceDigest `json:"source_digest"`
}

type storedHeld struct {
	Held
	SourceDigest sourceDigest `json:"source_digest"`
}

func storedState(e Entry) state {
	st := state{Version: stateVersion, Name: e.Name}
	if e.Good != nil {
		st.Good = &storedCopy{*e.Good, e.Good.from}
	}
	if e.Previous != nil {
		st.Previous = &storedCopy{*e.Previous, e.Previous.from}
	}
	if e.Held != nil {
		st.Held = &storedHeld{*e.Held, e.Held.from}
	}
	return st
}

// entry is what the state says. It is revealing where the state gives a source as
// it was configured, as it once did, and has to be written anew.
func (st *state) entry() (e Entry, revealing bool) {
	e.Name = st.Name
	take := func(c *Copy, from sourceDigest) {
		if from == "" {
			from = sourceDigestOf(c.Source)
			c.Source, revealing = ShownSource(c.Source), true
		}
		c.from = from
	}
	if c := st.Good; c != nil {
		take(&c.Copy, c.SourceDigest)
		e.Good = &c.Copy
	}
	if c := st.Previous; c != nil {
		take(&c.Copy, c.SourceDigest)
		e.Previous = &c.Copy
	}
	if h := st.Held; h != nil {
		take(&h.Copy, h.SourceDigest)
		e.Held = &h.Held
	}
	return e, revealing
}
