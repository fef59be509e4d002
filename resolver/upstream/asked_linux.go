package upstream

import (
	"fmt"
	"time"
)

const (
	// maxAsked is the longest query that Ports takes: header, name, type and
	// class, OPT record without options.
	maxAsked = headerLen + maxName + 4 + 11
	// maxSent is it with a cookie.
	maxSent = maxAsked + 4 + maxCookie
	// patience is how long Ports waits for a reply. What takes longer is handed
	// back, to be asked again by Exchange.
	patience = 400 * time.Millisecond
)

// Asked is one query that [Ports] has under way. It must not be moved or used
// for another query before it was handed back or cancelled.
type Asked struct {
	// Owner is for the caller.
	Owner any

	query   query
	buffer  [maxSent]byte
	port    *port
	started time.Time
}

// Query is the packed query, under the ID that it was sent with.
func (a *Asked) Query() []byte { return a.query.msg }

// Started is when the query was sent, or queued to be.
func (a *Asked) Started() time.Time { return a.started }

// Server is who was asked.
func (a *Asked) Server() fmt.Stringer { return a.port.server.name }
