package hits

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm is an eventfd(2). The writer waits for it in the kernel and not in the
// scheduler, where a goroutine that keeps its thread is found by way of others: those
// have a lower priority, and on a processor that queries fill they came too late, when
// queues were full.
type alarm struct {
	file *os.File // closes the descriptor when nobody can raise it any more
	fd   int32
}

func newAlarm() (*alarm, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an event descriptor for the hit journal: %w", err)
	}
	return &alarm{file: os.NewFile(uintptr(fd), "eventfd"), fd: int32(fd)}, nil
}

func (s *alarm) raise() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(int(s.fd), one[:])
}

func (s *alarm) wait(d time.Duration) {
	fds := [1]unix.PollFd{{Fd: s.fd, Events: unix.POLLIN}}
	const round = time.Millisecond - 1
	if n, err := unix.Poll(fds[:], int((d+round)/time.Millisecond)); err == nil && n > 0 {
		var count [8]byte
		_, _ = unix.Read(int(s.fd), count[:])
	}
}
