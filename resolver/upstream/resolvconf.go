package upstream

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

const (
	// resolvConfLimit is far above any real file; what stands behind it is ignored.
	resolvConfLimit = 64 << 10
	// faultLimit is how many bad lines are named; the others are left out too.
	faultLimit = 5
)

// resolvConf is a resolv.conf file and what it said when it was last read.
type resolvConf struct {
	path    string
	seen    fs.FileInfo // of the content last read; nil before
	servers []netip.AddrPort
	faults  []string // lines that were left out, with their numbers
}

// refresh reads the file if it is another or has changed. On an error what was
// read last stays.
func (r *resolvConf) refresh() error {
	info, err := os.Stat(r.path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", r.path)
	}
	if r.seen != nil && os.SameFile(info, r.seen) && info.Size() == r.seen.Size() && info.ModTime().Equal(r.seen.ModTime()) {
		return nil
	}
	file, err := os.Open(r.path)
	if err != nil {
		return err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, resolvConfLimit))
	if err != nil {
		return fmt.Errorf("read %s: %w", r.path, err)
	}
	r.seen = info
	r.servers, r.faults = parseResolvConf(r.path, content)
	return nil
}

// parseResolvConf returns the servers of the nameserver lines, each once, in
// their order. All lines count, not only the first three as in the C library.
// A port is read in OpenBSD's notation, [address]:port.
func parseResolvConf(path string, content []byte) (servers []netip.AddrPort, faults []string) {
	for number := 1; len(content) > 0; number++ {
		var line []byte
		line, content, _ = bytes.Cut(content, []byte{'\n'})
		fields := bytes.Fields(line)
		if len(fields) == 0 || string(fields[0]) != "nameserver" {
			continue
		}
		var text string
		if len(fields) > 1 {
			text = string(fields[1])
		}
		server, ok := parseNameserver(text)
		if !ok && len(faults) < faultLimit {
			faults = append(faults, fmt.Sprintf("%s:%d: nameserver %.60q, expected an IP address", path, number, text))
		}
		if ok && !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	return servers, faults
}

func parseNameserver(text string) (netip.AddrPort, bool) {
	port := uint64(dnsPort)
	if inner, ok := strings.CutPrefix(text, "["); ok {
		address, number, _ := strings.Cut(inner, "]:")
		var err error
		if port, err = strconv.ParseUint(number, 10, 16); err != nil {
			return netip.AddrPort{}, false
		}
		text = address
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.AddrPort{}, false
	}
	addr = addr.Unmap()
	switch { // the unspecified address means this machine, as in the C library
	case addr == netip.IPv4Unspecified():
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case addr.IsUnspecified():
		addr = netip.IPv6Loopback()
	}
	to := netip.AddrPortFrom(addr, uint16(port))
	return to, checkServer(to) == nil
}
