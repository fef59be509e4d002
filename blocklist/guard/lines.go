package guard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line of a file.
const maxLine = 64 << 10

// eachLine hands out the lines of a text, without white space around them. The
// errors of visit come back with file and line before each, and end nothing; that
// of r says where it happened itself.
func eachLine(path string, r io.Reader, visit func(line uint32, text []byte) error) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, maxLine), maxLine)
	line, bad := uint32(0), faults{path: path}
	for scanner.Scan() {
		text := scanner.Bytes()
		line++
		if err := visit(line, bytes.TrimSpace(text)); err != nil {
			bad.add(line, err)
		}
	}
	err := scanner.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("%s:%d: a line of more than %d octets, expected one name, address or prefix a line: is this another file?", path, line+1, maxLine)
	}
	return bad.err(err)
}
