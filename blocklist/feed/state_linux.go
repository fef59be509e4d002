package feed

import (
	"io/fs"
	"syscall"
)

func stateOf(info fs.FileInfo) State {
	s := portableState(info)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Device, s.Inode, s.Change = st.Dev, st.Ino, st.Ctim.Nano()
	}
	return s
}
