//go:build unix

package feed

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

func TestContentRefusesWhatIsNoFile(t *testing.T) {
	t.Chdir(t.TempDir()) // the address of a socket must be short
	must(t, syscall.Mkfifo("fifo", 0o644))
	socket, err := net.Listen("unix", "socket")
	must(t, err)
	defer socket.Close()
	for path, want := range map[string]string{
		"fifo": "is a named pipe", "socket": "is a socket", "/dev/zero": "is a device", "/dev/null": "is a device",
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := Open(path, Limits{})
			checkMessage(t, err, path, want, "expected a regular file", "write the list to a file")
		})
	}
}
