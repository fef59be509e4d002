package upstream

import (
	crypto "crypto/rand"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"sinkhole/resolver/mmsg"
)

const (
	// portQueries and portAge are for how many queries, and how long, a source
	// port is used. An attacker who guesses must hit port and ID (RFC 5452
	// section 4.4), and has this long to find the port.
	portQueries = 1024
	portAge     = time.Second
	// maxPorts bounds the sockets of one Ports: those that replies are still
	// expected at, and the one that queries leave from.
	maxPorts = 64
	// chooseEvery is how long a server that was up is taken to be up.
	chooseEvery = 20 * time.Millisecond
	// replyBatch is how many replies one system call reads, and how many queries
	// one sends.
	replyBatch = 64
	// portBuffer is the size of a port's buffers in octets, for all its queries at
	// once (those to a server on this machine are held until it reads them) and for
	// the replies to them.
	portBuffer = 1 << 20
)

// Ports exchanges queries with the server that is to be asked first, over UDP
// sockets that many queries share: no goroutine, timer or socket for each. It
// takes what goes the usual way: a plain server that is up and knows EDNS, a whole
// reply in good time. All else it hands back, to be asked by [Forwarder.Exchange],
// which knows the other servers, TCP, and what to hold against whom.
//
// It belongs to one goroutine, which waits for the sockets itself.
type Ports struct {
	forwarder *Forwarder
	watch     func(fd int) error
	random    *rand.ChaCha8

	server *server   // nil: none was up
	alone  bool      // there is no other server
	down   []*server // which a probe may ask a client's question
	chosen time.Time

	current *port         // where queries leave from
	open    map[int]*port // by descriptor
	rtt     time.Duration // of the server, smoothed as in RFC 6298; 0: not known

	late, answered Asked // stand for queries that were cancelled, and for those that had their reply

	queued   []*Asked // to be sent from current
	unsent   []*Asked // could not be sent
	out, in  [replyBatch]mmsg.Header
	outParts [replyBatch]unix.Iovec
	inParts  [replyBatch]unix.Iovec
	replies  [replyBatch][datagramSize]byte
}

// port is a socket bound to a random port and connected to its server.
type port struct {
	fd      int
	server  *server
	opened  time.Time
	queries int               // sent from it, ever
	asked   map[uint16]*Asked // by ID
	waiting int               // of asked, those that are waited for
	strange int               // well-formed messages that answer none of them
	heard   bool              // the server has answered
}

// NewPorts returns Ports that exchange on behalf of f. Each socket is told to
// watch; when it is readable, Receive is to be called. watch forgets a socket
// that is closed by itself, as epoll(7) does.
func (f *Forwarder) NewPorts(watch func(fd int) error) *Ports {
	var seed [32]byte
	crypto.Read(seed[:]) // never fails: crypto/rand ends the program instead
	p := &Ports{forwarder: f, watch: watch, random: rand.NewChaCha8(seed), open: map[int]*port{}}
	for i := range replyBatch {
		p.inParts[i].Base = &p.replies[i][0]
		p.inParts[i].SetLen(datagramSize)
		p.in[i].Msg.Iov = &p.inParts[i]
		p.in[i].Msg.SetIovlen(1)
		p.out[i].Msg.Iov = &p.outParts[i]
		p.out[i].Msg.SetIovlen(1)
	}
	return p
}

// Patience is how long the caller waits for a reply until it cancels, and asks by
// Exchange: some time more than the server takes otherwise.
func (p *Ports) Patience() time.Duration {
	return min(max(patience, 4*p.rtt), p.forwarder.timeout/2)
}

// observe takes in how long a reply took.
func (p *Ports) observe(took time.Duration) {
	if p.rtt == 0 {
		p.rtt = took
		return
	}
	p.rtt += (took - p.rtt) / 8
}

// Timeout is how long a server may take for its answer: no time at all once the
// Forwarder is closed.
func (p *Ports) Timeout() time.Duration {
	if p.forwarder.closing.Err() != nil {
		return 0
	}
	return p.forwarder.timeout
}

// Ask queues a copy of the packed query under an ID of its own. It reports false,
// and does nothing, where the query is for Exchange.
func (p *Ports) Ask(a *Asked, msg []byte, now time.Time) bool {
	s := p.choose(now)
	if s == nil || len(msg) > maxAsked {
		return false
	}
	q, err := parseQuery(append(a.buffer[:0], msg...))
	if err != nil || p.forwarder.zones.of(q) != nil || !p.alone && p.forwarder.roster.leaves() {
		return false
	}
	from := p.portTo(s, now)
	if from == nil {
		return false
	}
	for _, s := range p.down {
		s.probing.offer(q)
	}
	q = q.withProofs(s, now, p.random)
	id := p.newID(from)
	q.setID(id)
	a.query, a.port, a.started = q, from, now
	from.asked[id] = a
	from.waiting++
	from.queries++
	s.counters.exchanges.Add(1)
	if p.queued = append(p.queued, a); len(p.queued) == replyBatch {
		p.Flush()
	}
	return true
}

// choose gives the server to ask, nil where Exchange is to choose: when none is
// up, and for servers that are encrypted or without EDNS.
func (p *Ports) choose(now time.Time) *server {
	if now.Sub(p.chosen) < chooseEvery {
		return p.server
	}
	was := p.server
	p.server, p.chosen = nil, now
	if p.forwarder.closing.Err() != nil {
		return nil
	}
	roster := p.forwarder.roster
	p.forwarder.findLoops(roster, now)
	servers := roster.arrange(roster.usable(roster.latest(now)))
	p.alone = len(servers) == 1
	p.down = p.down[:0]
	for _, s := range servers {
		if s.health.standing() >= down {
			p.down = append(p.down, s)
		}
	}
	if len(servers) > 0 {
		if s := servers[0]; s.health.standing() <= silent && s.encrypted == nil && !s.withoutEDNS(now) {
			p.server = s
		}
	}
	if p.server != was {
		p.rtt = 0
	}
	return p.server
}

// portTo gives the socket to ask s from, nil where there can be none.
func (p *Ports) portTo(s *server, now time.Time) *port {
	c := p.current
	fits := c != nil && c.server == s && len(c.asked) < portQueries*8
	if fits && c.queries < portQueries && now.Sub(c.opened) < portAge {
		return c
	}
	p.Flush()
	var fresh *port
	if len(p.open) < maxPorts {
		fresh = p.openPort(s, now)
	}
	switch {
	case fresh == nil && fits:
		return c
	case fresh == nil:
		return nil
	}
	p.current = fresh
	if c != nil && c.waiting == 0 {
		p.close(c)
	}
	return fresh
}

func (p *Ports) openPort(s *server, now time.Time) *port {
	fd, err := dialPort(s.addr)
	if err == nil {
		if err = p.watch(fd); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		s.counters.local.Add(1)
		s.counters.exchanges.Add(1)
		return nil
	}
	fresh := &port{fd: fd, server: s, opened: now, asked: map[uint16]*Asked{}}
	p.open[fd] = fresh
	return fresh
}

// dialPort opens a socket on a random port that nobody uses. What strangers sent
// between bind and connect is thrown away.
func dialPort(to netip.AddrPort) (int, error) {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := connectPort(fd, family, to); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func connectPort(fd, family int, to netip.AddrPort) (err error) {
	for forced, permitted := range map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, forced, portBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, permitted, portBuffer)
		}
	}
	for range portDraws {
		if err = unix.Bind(fd, anyAddress(family, randomPort())); err == nil || !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EACCES) {
			break
		}
	}
	if err != nil {
		return err
	}
	if err = unix.Connect(fd, sockaddr(to)); err != nil {
		return err
	}
	var one [1]byte
	for {
		if _, _, err := unix.Recvfrom(fd, one[:], unix.MSG_DONTWAIT); err != nil && !errors.Is(err, unix.EINTR) {
			return nil
		}
	}
}

func anyAddress(family int, port uint16) unix.Sockaddr {
	if family == unix.AF_INET {
		return &unix.SockaddrInet4{Port: int(port)}
	}
	return &unix.SockaddrInet6{Port: int(port)}
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	if to.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16(), ZoneId: zoneIndex(to.Addr().Zone())}
}

// newID draws an ID that no query of the port has.
func (p *Ports) newID(from *port) uint16 {
	for {
		id := uint16(p.random.Uint64())
		if from.asked[id] == nil {
			return id
		}
	}
}

// Flush sends what is queued. What cannot be sent is for Unsent.
func (p *Ports) Flush() {
	if len(p.queued) == 0 {
		return
	}
	for i, a := range p.queued {
		p.outParts[i].Base = &a.query.msg[0]
		p.outParts[i].SetLen(len(a.query.msg))
	}
	fd, n := p.queued[0].port.fd, len(p.queued)
	refused := false
	for at := 0; at < n; {
		sent, errno := mmsg.Send(fd, p.out[at:n])
		switch {
		case errno == 0 && sent > 0:
			at += sent
		case errno == unix.EINTR:
		case errno == unix.ECONNREFUSED && !refused: // what an earlier query met; the call has cleared it
			refused = true
		case errno == unix.EAGAIN:
			p.unsent = append(p.unsent, p.queued[at:]...)
			at = n
		default:
			p.unsent = append(p.unsent, p.queued[at])
			at++
		}
	}
	clear(p.queued)
	p.queued = p.queued[:0]
}

// Unsent hands back each query that could not be sent, for Exchange to ask it. done
// must not call methods of p.
func (p *Ports) Unsent(done func(a *Asked)) {
	for len(p.unsent) > 0 {
		a := p.unsent[len(p.unsent)-1]
		p.Drop(a)
		done(a)
	}
}

// Receive reads replies that have come to a socket, some at a time, and hands
// each query back with its reply; without one, if Exchange is to ask it again.
// The reply is checked as those of Exchange are, and has its query's question. It
// belongs to done until that returns; done must not call methods of p.
func (p *Ports) Receive(fd int, now time.Time, done func(a *Asked, reply []byte)) {
	from := p.open[fd]
	if from == nil {
		return
	}
	n, errno := mmsg.Receive(fd, p.in[:])
	refused := errno == unix.ECONNREFUSED
	if refused { // which is told before what came
		n, errno = mmsg.Receive(fd, p.in[:])
	}
	if errno != 0 {
		// Nobody listens there, as Exchange will find out. Where somebody has
		// answered, one of several did not get one query.
		if refused && !from.heard {
			p.giveUp(from, done)
		}
		return
	}
	answered := false
	for i := 0; i < n && from.strange < suspicious; i++ {
		a, whole := p.match(from, &p.in[i], p.replies[i][:p.in[i].Len], now)
		if a == nil {
			continue
		}
		answered = true
		if whole {
			p.handBack(a, p.replies[i][:p.in[i].Len], now, done)
		} else {
			from.server.counters.abandoned.Add(1)
			done(a, nil)
		}
	}
	if answered {
		from.heard = true
		from.server.answered(now)
	}
	switch {
	case from.strange >= suspicious: // somebody guesses
		from.server.counters.suspected.Add(1)
		p.giveUp(from, done)
	case from != p.current && from.waiting == 0:
		p.close(from)
	}
}

// match finds the query that a message answers, and takes it out; nil if it is
// none's. whole is false where the message lacks what Exchange is to insist on.
func (p *Ports) match(from *port, h *mmsg.Header, msg []byte, now time.Time) (a *Asked, whole bool) {
	c := &from.server.counters
	if len(msg) < headerLen || h.Msg.Flags&unix.MSG_TRUNC != 0 {
		c.malformed.Add(1)
		return nil, false
	}
	id := binary.BigEndian.Uint16(msg)
	a = from.asked[id]
	switch {
	case a == nil:
		c.mismatched.Add(1)
		from.strange++
		return nil, false
	case a == &p.late:
		p.observe(p.Patience()) // or more
		from.server.tookLonger(p.Patience())
		from.server.answered(now)
		return nil, false
	case a == &p.answered: // on the way twice
		return nil, false
	}
	switch a.query.judgeAt(from.server, msg, now) {
	case accepted:
		whole = true
	case miscased:
		from.server.proofs.losesCase(now)
	case malformed:
		c.malformed.Add(1)
		return nil, false
	case mismatched:
		if !a.query.isRefusedBy(msg) {
			c.mismatched.Add(1)
			from.strange++
			return nil, false
		}
		whole = true
	}
	from.asked[id] = &p.answered // not to be used again
	from.waiting--
	a.query.restore(msg)
	a.query = a.query.withoutCase()
	return a, whole
}

// handBack gives the owner a reply that came, if it is of the usual kind.
func (p *Ports) handBack(a *Asked, msg []byte, now time.Time, done func(a *Asked, reply []byte)) {
	c := &a.port.server.counters
	rcode := rcodeOf(msg)
	p.observe(max(now.Sub(a.started), 0))
	a.port.server.took(now.Sub(a.started))
	if isTruncated(msg) || rcode == rcodeFormErr || questions(msg) == 0 || declines(msg) && !p.alone {
		c.abandoned.Add(1)
		done(a, nil)
		return
	}
	c.replies.Add(1)
	if declines(msg) {
		c.declined.Add(1)
	}
	c.observe(max(now.Sub(a.started), 0))
	done(a, msg)
}

// Cancel forgets a query that was waited for as long as Patience says. A reply that
// comes late is no sign of guessing. Where the server has not answered anything since
// the query was sent, others are asked first until it does.
func (p *Ports) Cancel(a *Asked) {
	s := a.port.server
	p.cancel(a, &p.late)
	if s.health.missed(a.started) {
		p.chosen = time.Time{}
		p.forwarder.revive(s)
	}
}

// Drop is Cancel for a query that was not waited for as long as Patience says: when
// its reply comes tells nothing of what to wait for.
func (p *Ports) Drop(a *Asked) { p.cancel(a, &p.answered) }

func (p *Ports) cancel(a, as *Asked) {
	from := a.port
	for _, q := range p.queued {
		if q == a {
			p.Flush()
			break
		}
	}
	if i := slices.Index(p.unsent, a); i >= 0 {
		p.unsent = slices.Delete(p.unsent, i, i+1)
	}
	from.asked[binary.BigEndian.Uint16(a.query.msg)] = as
	from.waiting--
	from.server.counters.abandoned.Add(1)
	if from != p.current && from.waiting == 0 {
		p.close(from)
	}
}

// giveUp hands back all that waits at a port, and closes it.
func (p *Ports) giveUp(from *port, done func(a *Asked, reply []byte)) {
	p.Flush()
	p.unsent = slices.DeleteFunc(p.unsent, func(a *Asked) bool { return a.port == from })
	for _, a := range from.asked {
		if a != &p.late && a != &p.answered {
			from.server.counters.abandoned.Add(1)
			done(a, nil)
		}
	}
	p.close(from)
}

func (p *Ports) close(c *port) {
	delete(p.open, c.fd)
	_ = unix.Close(c.fd)
	if p.current == c {
		p.current = nil
	}
}

// Close gives back the sockets. Queries under way are forgotten.
func (p *Ports) Close() {
	p.queued, p.unsent = nil, nil
	for _, c := range p.open {
		c.server.counters.abandoned.Add(uint64(c.waiting))
		p.close(c)
	}
}
