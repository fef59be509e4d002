//go:build !linux

package upstream

import "time"

// Ports is for systems with batches of datagrams: elsewhere it takes nothing.
type Ports struct{ forwarder *Forwarder }

// Asked is one query that [Ports] has under way.
type Asked struct{ Owner any }

// NewPorts returns Ports that hand all back.
func (f *Forwarder) NewPorts(func(fd int) error) *Ports { return &Ports{f} }

// Ask takes nothing.
func (p *Ports) Ask(*Asked, []byte, time.Time) bool { return false }
