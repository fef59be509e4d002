package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"sinkhole/resolver"
)

// firstInherited is the descriptor of the first socket that is passed to a process
// (sd_listen_fds(3)).
const firstInherited = 3

// inherited are the sockets that the process was started with, by their addresses. What
// comes while no process reads them waits in them: a restart loses no query.
type inherited struct {
	streams map[netip.AddrPort]net.Listener
	packets map[netip.AddrPort][]*net.UDPConn
}

// inherit takes the sockets that systemd, or who speaks as it does, passes to this
// process. There are none where the environment names another one.
func inherit(pid int) (*inherited, error) {
	i := &inherited{streams: map[netip.AddrPort]net.Listener{}, packets: map[netip.AddrPort][]*net.UDPConn{}}
	if os.Getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return i, nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS: found %q, expected how many sockets are passed", os.Getenv("LISTEN_FDS"))
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, key := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(key) // they are for this process alone
	}
	for k := range n {
		name := "LISTEN_FD_" + strconv.Itoa(firstInherited+k)
		if k < len(names) && names[k] != "" {
			name = names[k]
		}
		if err := i.add(os.NewFile(uintptr(firstInherited+k), name)); err != nil {
			return nil, errors.Join(fmt.Errorf("socket %d of %d that were passed (%s): %w", k+1, n, name, err), i.close())
		}
	}
	return i, nil
}

// add takes a socket by its file, which is closed.
func (i *inherited) add(f *os.File) error {
	defer f.Close()
	if l, err := net.FileListener(f); err == nil {
		at, isTCP := l.Addr().(*net.TCPAddr)
		if !isTCP {
			return errors.Join(fmt.Errorf("found a listener of %s, expected UDP or TCP", l.Addr().Network()), l.Close())
		}
		addr := unmapped(at.AddrPort())
		if i.streams[addr] != nil {
			return errors.Join(fmt.Errorf("found a second TCP socket of %s, expected one", addr), l.Close())
		}
		i.streams[addr] = l
		return nil
	}
	c, err := net.FilePacketConn(f)
	if err != nil {
		return fmt.Errorf("found what is no socket that listens: %w", err)
	}
	u, isUDP := c.(*net.UDPConn)
	if !isUDP {
		return errors.Join(fmt.Errorf("found a socket of %s, expected UDP or TCP", c.LocalAddr().Network()), c.Close())
	}
	addr := unmapped(u.LocalAddr().(*net.UDPAddr).AddrPort())
	i.packets[addr] = append(i.packets[addr], u)
	return nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// take gives the sockets of an address, which are the caller's then.
func (i *inherited) take(addr netip.AddrPort) (s resolver.Sockets) {
	s.Stream, s.Packets = i.streams[addr], i.packets[addr]
	delete(i.streams, addr)
	delete(i.packets, addr)
	return s
}

// stream gives the TCP socket of an address; nil: there is none.
func (i *inherited) stream(addr netip.AddrPort) net.Listener {
	l := i.streams[addr]
	delete(i.streams, addr)
	return l
}

// packet gives the UDP sockets of an address.
func (i *inherited) packet(addr netip.AddrPort) []*net.UDPConn {
	all := i.packets[addr]
	delete(i.packets, addr)
	return all
}

// unused tells of sockets that nobody took: clients would wait at them for ever.
func (i *inherited) unused() error {
	var all []string
	for addr := range i.streams {
		all = append(all, addr.String()+" (TCP)")
	}
	for addr := range i.packets {
		all = append(all, addr.String()+" (UDP)")
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return fmt.Errorf("passed sockets of %s are of no listener that takes them: name these addresses under listen (tls takes TCP, quic UDP, dns and https both), or leave them out of the socket unit", strings.Join(all, ", "))
}

// close closes what nobody took.
func (i *inherited) close() (err error) {
	for _, l := range i.streams {
		err = errors.Join(err, l.Close())
	}
	for _, all := range i.packets {
		for _, c := range all {
			err = errors.Join(err, c.Close())
		}
	}
	clear(i.streams)
	clear(i.packets)
	return err
}
