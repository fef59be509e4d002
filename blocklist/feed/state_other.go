//go:build !linux && !darwin

package feed

import "io/fs"

func stateOf(info fs.FileInfo) State { return portableState(info) }
