package resolver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sinkhole/hits"
)

// The PROXY protocol (haproxy.org, proxy-protocol.txt) puts a header before what a
// balancer passes on: one before each datagram, one at the beginning of a connection.

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	proxyHead      = 16                       // octets of a header of version 2 before its addresses
	maxProxyHead   = 1024                     // octets of a header that are taken, what follows the addresses included
	maxProxyLine   = 107                      // octets of a header of version 1 (section 2.1)
)

var errProxy = errors.New("no valid PROXY header")

// proxied is what a PROXY header says. Where source is not valid, the balancer speaks for
// itself: a health check (LOCAL, UNKNOWN).
type proxied struct {
	source, destination netip.AddrPort
	datagram            bool // the client sent one, so that its address may be forged
	version             hits.Proxy
	length              int // octets of the header
}

// parseProxy reads the header of version 2 that b begins with.
func parseProxy(b []byte) (p proxied, err error) {
	const local, proxy = 0x20, 0x21 // version and command
	if len(b) < proxyHead || string(b[:len(proxySignature)]) != proxySignature {
		return p, errProxy
	}
	p.version = hits.ProxyV2
	p.length = proxyHead + int(binary.BigEndian.Uint16(b[14:]))
	if p.length > min(len(b), maxProxyHead) {
		return p, errProxy
	}
	addresses := b[proxyHead:p.length]
	switch b[12] {
	case local:
		return p, nil
	case proxy:
		err = p.take(b[13], addresses)
		return p, err
	}
	return p, errProxy
}

// take reads the addresses of a family and protocol.
func (p *proxied) take(kind byte, b []byte) error {
	const stream, datagram = 1, 2
	var size int
	switch kind >> 4 {
	case 1:
		size = 4
	case 2:
		size = 16
	default: // AF_UNIX, AF_UNSPEC
		return errProxy
	}
	if protocol := kind & 0xF; protocol != stream && protocol != datagram || len(b) < 2*size+4 {
		return errProxy
	}
	p.datagram = kind&0xF == datagram
	p.source = socketAddress(b[:size], b[2*size:])
	p.destination = socketAddress(b[size:2*size], b[2*size+2:])
	return p.check()
}

// socketAddress is an address, and the port at the beginning of what follows.
func socketAddress(addr, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(addr)
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
}

// check refuses a source that is nobody's.
func (p *proxied) check() error {
	if a := p.source.Addr(); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		p.source = netip.AddrPort{}
		return errProxy
	}
	return nil
}

// parseProxyLine reads a header of version 1, its line end included.
func parseProxyLine(line string) (p proxied, err error) {
	p.version, p.length = hits.ProxyV1, len(line)
	text, whole := strings.CutSuffix(line, "\r\n")
	words := strings.Split(text, " ")
	switch {
	case !whole || len(line) > maxProxyLine || words[0] != "PROXY":
		return p, errProxy
	case len(words) > 1 && words[1] == "UNKNOWN":
		return p, nil
	case len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6":
		return p, errProxy
	}
	source, sourceFault := lineEndpoint(words[2], words[4], words[1] == "TCP4")
	destination, destinationFault := lineEndpoint(words[3], words[5], words[1] == "TCP4")
	if sourceFault != nil || destinationFault != nil {
		return p, errProxy
	}
	p.source, p.destination = source, destination
	return p, p.check()
}

func lineEndpoint(addr, port string, four bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Is4() != four || a.Zone() != "" {
		return netip.AddrPort{}, errProxy
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port != strconv.FormatUint(n, 10) {
		return netip.AddrPort{}, errProxy
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// readProxy reads the header of either version off a stream.
func readProxy(in *bufio.Reader) (p proxied, err error) {
	first, err := in.Peek(1)
	if err != nil {
		return p, err
	}
	if first[0] == 'P' {
		line, err := proxyLine(in)
		if err != nil {
			return p, err
		}
		return parseProxyLine(line)
	}
	head, err := in.Peek(proxyHead)
	if err != nil {
		return p, err
	}
	n := proxyHead + int(binary.BigEndian.Uint16(head[14:]))
	if n > maxProxyHead || !bytes.HasPrefix(head, []byte(proxySignature)) {
		return p, errProxy
	}
	whole, err := in.Peek(n)
	if err != nil {
		return p, err
	}
	if p, err = parseProxy(whole); err == nil {
		_, err = in.Discard(n)
	}
	return p, err
}

// proxyLine reads the line of version 1, and nothing behind it.
func proxyLine(in *bufio.Reader) (string, error) {
	line := make([]byte, 0, maxProxyLine)
	for !slices.Contains(line, '\n') {
		b, err := in.ReadByte()
		if err != nil {
			return "", err
		}
		if line = append(line, b); len(line) > maxProxyLine {
			return "", errProxy
		}
	}
	return string(line), nil
}

// isBalancer tells whether what an address sends must have a PROXY header.
func (r *Resolver) isBalancer(a netip.Addr) bool { return contains(r.balancers, a) }

// unwrap takes the PROXY header off a datagram of a balancer; false: there is no valid
// one. What others send is as it is.
func (r *Resolver) unwrap(from netip.Addr, msg []byte) (p proxied, ok bool) {
	if !r.isBalancer(from) {
		return p, true
	}
	p, err := parseProxy(msg)
	return p, err == nil
}
