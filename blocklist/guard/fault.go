package guard

import (
	"errors"
	"fmt"
	"strings"
)

// maxFaults bounds the lines of one file that an error names.
const maxFaults = 20

// faults are the lines of a file that cannot be used.
type faults struct {
	path  string
	named []error
	all   int
}

func (f *faults) add(line uint32, err error) {
	if f.all++; f.all <= maxFaults {
		f.named = append(f.named, fmt.Errorf("%s:%d: %w", f.path, line, err))
	}
}

// err has a line for each fault that is named; what broke off the reading, if
// anything, is the last of them. Nil: there are none.
func (f *faults) err(broken error) error {
	all := append(f.named, broken)
	if more := f.all - maxFaults; more > 0 {
		all = append(all, fmt.Errorf("%s: and %d more lines", f.path, more))
	}
	return errors.Join(all...)
}

// keyError puts the key of the configuration before each line of an error.
type keyError struct {
	key string
	err error
}

func (e *keyError) Error() string {
	return e.key + ": " + strings.ReplaceAll(e.err.Error(), "\n", "\n"+e.key+": ")
}

func (e *keyError) Unwrap() error { return e.err }
