package hits

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// DatasetAudit is that of records of what people did.
const DatasetAudit = "sinkhole.audit"

// Audit is what somebody did, or tried to.
type Audit struct {
	User   string
	Role   string         // "": the control socket, whose users are those of the system
	Client netip.AddrPort // where from; the zero AddrPort: from this machine, by the control socket
	Action string         // allow, disallow, approve, refresh, export
	Object string         // what it was done to
	Reason string         // as the user gave it, or why it failed
	Failed bool
	Read   bool // nothing was changed
}

const (
	auditsWaiting = 16
	// auditWithin is how long a record may take to be written.
	auditWithin = 5 * time.Second
	// longestAudit bounds each text of an audit record, in octets.
	longestAudit = 2048
)

type auditRequest struct {
	Audit
	written chan error // with room for one
}

var errNotAudited = errors.New("the hit journal did not take the audit record")

// Audit writes a record, and returns when it is in the journal's file.
func (j *Journal) Audit(a Audit) error {
	r := auditRequest{a, make(chan error, 1)}
	late := time.NewTimer(auditWithin)
	defer late.Stop()
	select {
	case j.audits <- r:
	case <-j.done:
		return fmt.Errorf("%w: it is closed", errNotAudited)
	case <-late.C:
		return fmt.Errorf("%w in %s", errNotAudited, auditWithin)
	}
	j.bell.ring()
	select {
	case err := <-r.written:
		if err != nil {
			return fmt.Errorf("%w: %w", errNotAudited, err)
		}
		return nil
	case <-j.done:
		select {
		case err := <-r.written:
			return err
		default:
			return fmt.Errorf("%w: it is closed", errNotAudited)
		}
	case <-late.C:
		return fmt.Errorf("%w in %s", errNotAudited, auditWithin)
	}
}

// audit writes what waits, each with the hits before it.
func (w *writer) audit(now time.Time) {
	for {
		select {
		case r := <-w.j.audits:
			w.out.buf = w.enc.appendAudit(w.out.buf, &r.Audit, now)
			r.written <- w.flush(now)
		default:
			return
		}
	}
}

func (e *encoder) appendAudit(dst []byte, a *Audit, now time.Time) []byte {
	l := &e.line
	l.text = dst
	e.open(l, now)
	l.object("event")
	l.raw(`"kind":"event"`)
	l.words("category", "configuration")
	if a.Read {
		l.words("type", "access")
	} else {
		l.words("type", "change")
	}
	l.string("action", a.Action)
	l.string("outcome", outcome(!a.Failed))
	e.number(l, now)
	l.string("dataset", DatasetAudit)
	l.some("reason", cutAudit(a.Reason))
	l.end('}')
	if a.Client.IsValid() {
		l.addEndpoint("client", a.Client)
	}
	l.raw(e.observer)
	l.object("user")
	l.string("name", cutAudit(a.User))
	if a.Role != "" {
		l.words("roles", a.Role)
	}
	l.end('}')
	l.object("sinkhole")
	l.some("object", cutAudit(a.Object))
	l.end('}')
	return l.close()
}

func cutAudit(s string) string { return s[:min(len(s), longestAudit)] }
