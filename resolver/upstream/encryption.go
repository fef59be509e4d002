package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"

	"go.uber.org/zap"
)

// encryption is what the encrypted servers of a Forwarder have in common.
type encryption struct {
	options Options
	log     *zap.Logger

	closing context.Context // done from the call of close on
	cancel  context.CancelFunc

	works  works // connections and look-ups, beside the exchanges
	pools  []*pool
	finder *Forwarder // finds addresses; nil until a server has a name
}

func newEncryption(o Options) (*encryption, error) {
	for _, text := range o.Bootstrap {
		if _, err := parseServer(text); err != nil {
			return nil, fmt.Errorf("bootstrap: %w", err)
		}
	}
	e := &encryption{options: o, log: o.Logger}
	e.closing, e.cancel = context.WithCancel(context.Background())
	return e, nil
}

// close ends all connections and look-ups, and waits for them. No exchange may be
// under way.
func (e *encryption) close() {
	e.works.close()
	e.cancel()
	for _, p := range e.pools {
		p.close()
	}
	if e.finder != nil {
		_ = e.finder.Close()
	}
	e.works.running.Wait()
}

// config is how the server's certificate is checked: always, by the authorities of
// the system, for the name (RFC 8310 section 5: the strict profile).
func (e *encryption) config(name string, protocols ...string) *tls.Config {
	return &tls.Config{
		ServerName:         name,
		RootCAs:            e.options.RootCAs,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         protocols,
		ClientSessionCache: tls.NewLRUClientSessionCache(maxLines),
	}
}

// addresses is where an endpoint can be reached.
func (e *encryption) addresses(to endpoint) (addressBook, error) {
	if to.host == "" {
		return fixed{netip.AddrPortFrom(to.addr, to.port)}, nil
	}
	if e.finder == nil {
		o := e.options
		o.Servers, o.Bootstrap, o.Zones, o.FindLoops = o.Bootstrap, nil, nil, false
		if len(o.Servers) == 0 {
			o.Servers = []string{systemKeyword}
		}
		o.Logger = e.log.Named("bootstrap")
		finder, err := New(o)
		if err != nil {
			return nil, err
		}
		e.finder = finder
	}
	return &hostname{name: to.host, port: to.port, encryption: e, log: e.log.With(zap.String("name", to.host))}, nil
}

// addressBook knows the addresses of a server.
type addressBook interface {
	// addresses are at least one, unless there is an error.
	addresses(ctx context.Context) ([]netip.AddrPort, error)
	// doubt tells that none of them could be connected to.
	doubt()
}

// fixed is the address that stands in the configuration.
type fixed struct{ addr netip.AddrPort }

func (f fixed) addresses(context.Context) ([]netip.AddrPort, error) {
	return []netip.AddrPort{f.addr}, nil
}

func (fixed) doubt() {}
