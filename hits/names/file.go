package names

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"time"
)

const (
	maxFile = 256 << 20
	maxLine = 16 << 10
)

// format is how a file is written.
type format string

const (
	formatTable   format = "csv"
	formatDnsmasq format = "dnsmasq"
	formatKea     format = "kea"
	formatISC     format = "isc"
)

// file is one that names come from.
type file struct {
	path    string
	stamps  []stamp
	entries []entry // of a CSV file, as it was when it could be read last
	faults  int
}

// content is what a file said when it was read.
type content struct {
	path    string
	format  format
	written int64 // Unix nanoseconds of the latest change
	entries []entry
	leases  map[netip.Addr][]lease // as they follow each other
	faults  []error                // the first ones, with file:line
	bad     int                    // all of them
	now     int64
}

// lease is what a server says of one.
type lease struct {
	held      // from 0: not told
	gone bool // given back, at a time that is not told
}

// errEmpty says that there is nothing in a file, perhaps not yet.
var errEmpty = errors.New("found nothing, expected leases of dnsmasq, Kea or ISC, or CSV with a header")

// parts are the files of one: while Kea cleans its file up, what is in effect stands beside it.
func (f *file) parts(format format) []string {
	if format != formatKea {
		return []string{f.path}
	}
	return []string{f.path + ".completed", f.path + ".2", f.path + ".1", f.path}
}

// read gives what the file says, nil where that is not new. What changes while it is read is
// read again, next time.
func (f *file) read(now time.Time) (*content, error) {
	before, err := f.state()
	if err != nil {
		f.stamps = nil
		return nil, fmt.Errorf("%s: %w", f.path, cause(err))
	}
	if f.stamps != nil && equal(before, f.stamps) {
		return nil, nil
	}
	c := &content{path: f.path, leases: make(map[netip.Addr][]lease), now: now.UnixNano()}
	if c.format, err = formatOf(f.path); err == nil {
		for _, part := range f.parts(c.format) {
			if err = c.read(part, part == f.path); err != nil {
				break
			}
		}
	}
	after, failure := f.state()
	if err == nil {
		err = failure
	}
	f.stamps = before
	switch {
	case errors.Is(err, errEmpty):
		return nil, fmt.Errorf("%s: %w", f.path, err)
	case err != nil:
		return nil, err
	}
	if !equal(before, after) {
		f.stamps = nil // it is being written
	}
	f.faults = c.bad
	for _, s := range before {
		c.written = max(c.written, s.mtime.UnixNano())
	}
	return c, nil
}

// state is of the file and of what Kea may have beside it.
func (f *file) state() ([]stamp, error) {
	var all []stamp
	for _, path := range f.parts(formatKea) {
		s, err := stampOf(path)
		if err != nil && path == f.path {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func equal(a, b []stamp) bool {
	for i := range a {
		if a[i].size != b[i].size || !a[i].mtime.Equal(b[i].mtime) {
			return false
		}
	}
	return true
}

func open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is a directory, device or pipe, expected a regular file", path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s: found %d MiB, expected at most %d", path, info.Size()>>20, maxFile>>20)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return f, nil
}

// cause is what the system said, without the path.
func cause(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// formatOf looks at the first line that says something.
func formatOf(path string) (found format, err error) {
	f, err := open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	number := 0
	err = eachLine(f, func(line []byte, _ error) bool {
		number++
		line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\uFEFF")))
		if len(line) == 0 || line[0] == '#' {
			return true
		}
		found = formatOfLine(line)
		return false
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", path, cause(err))
	case number == 0 || found == "" && allBlank(path):
		return "", errEmpty
	case found == "":
		return "", fmt.Errorf("%s:%d: found neither leases of dnsmasq, Kea or ISC, nor the header of a CSV file with a column address, prefix or mac", path, number)
	}
	return found, nil
}

// allBlank reports whether nothing but white space and comments stand in a file. ISC's begins
// with comments alone.
func allBlank(path string) bool {
	f, err := open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	blank := true
	err = eachLine(f, func(line []byte, _ error) bool {
		line = bytes.TrimSpace(line)
		blank = len(line) == 0 || line[0] == '#'
		return blank
	})
	return blank && err == nil
}

func formatOfLine(line []byte) format {
	if header, _ := parseHeader(string(line)); header != nil {
		switch {
		case header.has("valid_lifetime") && header.has("expire"):
			return formatKea
		case header.has("address") || header.has("prefix") || header.has("mac"):
			return formatTable
		}
	}
	fields := bytes.Fields(line)
	switch string(fields[0]) {
	case "duid":
		return formatDnsmasq
	case "lease", "ia-na", "ia-ta", "ia-pd", "server-duid", "authoring-byte-order", "host", "failover":
		return formatISC
	}
	if len(fields) >= 4 && digits(fields[0]) {
		return formatDnsmasq
	}
	return ""
}

func digits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}

var errLong = fmt.Errorf("found a line of more than %d octets, expected shorter ones", maxLine)

// eachLine hands out lines without their ends until fn says no. One that is too long is handed
// out as an error.
func eachLine(r io.Reader, fn func(line []byte, err error) bool) error {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return err
		}
		switch {
		case long:
			if !fn(nil, errLong) {
				return nil
			}
		case len(line) > 0:
			if !fn(bytes.TrimRight(line, "\r\n"), nil) {
				return nil
			}
		}
		if last {
			return nil
		}
	}
}

// read takes in a part of the file. Only the file itself has to be there.
func (c *content) read(path string, required bool) error {
	if !required {
		if _, err := os.Stat(path); err != nil {
			return nil
		}
	}
	f, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	parse := map[format]func() parser{
		formatTable: func() parser { return new(tableParser) }, formatDnsmasq: func() parser { return new(dnsmasqParser) },
		formatKea: func() parser { return new(keaParser) }, formatISC: func() parser { return new(iscParser) },
	}[c.format]()
	number := 0
	err = eachLine(f, func(line []byte, err error) bool {
		number++
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\uFEFF"))
		}
		if err == nil {
			err = parse.line(c, line)
		}
		if err != nil {
			c.fault(fmt.Errorf("%s:%d: %w", path, number, err))
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, cause(err))
	}
	return nil
}

// parser takes in one line after the other.
type parser interface {
	line(c *content, line []byte) error
}

func (c *content) fault(err error) {
	if c.bad++; c.bad <= toldFaults {
		c.faults = append(c.faults, err)
	}
}

// lease takes in what follows on what was said before.
func (c *content) lease(a netip.Addr, l lease) {
	a = a.Unmap().WithZone("")
	all := c.leases[a]
	if n := len(all); n > 0 {
		last := &all[n-1]
		if l.gone {
			last.gone, last.until = true, min(last.until, c.now)
			return
		}
		if last.sameMachine(&l.held) && l.from != 0 && last.from <= l.until && l.from <= last.until {
			last.from, last.until, last.gone = min(last.from, l.from), l.until, false
			return
		}
	}
	if !l.gone && l.until > l.from {
		c.leases[a] = append(all, l)
	}
}

// seconds is a Unix time in nanoseconds, and never where that is too late for them.
func seconds(s int64) int64 {
	if s >= math.MaxInt64/int64(time.Second) {
		return never
	}
	return s * int64(time.Second)
}
