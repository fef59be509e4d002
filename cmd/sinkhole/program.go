package main

import (
	"fmt"
	"os"
	"runtime/debug"
)

// programText tells this program apart from every other build of it: what one
// has compiled of the lists, another does not use.
func programText() string {
	text, revision, modified := versionText(), "", true
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = s.Value
			case "vcs.modified":
				modified = s.Value != "false"
			}
		}
	}
	if revision != "" && !modified {
		return text + " " + revision
	}
	return fmt.Sprintf("%s %s %s", text, revision, executableText())
}

// executableText tells builds of sources apart that nobody has committed.
func executableText() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
}
