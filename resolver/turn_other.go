//go:build !linux

package resolver

import "context"

// Turn asks nothing: a reader waits in the library here, and cannot be roused.
func (l *Listener) Turn(context.Context) error { return nil }
