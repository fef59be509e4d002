package hits

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// writeError says what the journal's directory has to be for this process to
// write there.
func writeError(doing string, err error) error {
	return fmt.Errorf("%s: %w: hits.journal.path has to be a directory in which user ID %d may write", doing, err, os.Geteuid())
}

// readError says who was refused.
func readError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("reading the hit journal: %w: user ID %d may not read the directory of hits.journal.path: read it as the server's user or group", err, os.Geteuid())
	}
	return fmt.Errorf("reading the hit journal: %w", err)
}
