package configs

import (
	"net/netip"
	"time"
)

// Default is the configuration that an empty file gives, its paths still
// relative.
func Default() *Config {
	return &Config{
		Listen: Listen{
			DNS: []netip.AddrPort{
				netip.MustParseAddrPort("127.0.0.1:5300"),
				netip.MustParseAddrPort("[::1]:5300"),
			},
		},
		Clients: Clients{
			Allow: []netip.Prefix{
				netip.MustParsePrefix("127.0.0.0/8"),
				netip.MustParsePrefix("::1/128"),
				netip.MustParsePrefix("10.0.0.0/8"),
				netip.MustParsePrefix("172.16.0.0/12"),
				netip.MustParsePrefix("192.168.0.0/16"),
				netip.MustParsePrefix("100.64.0.0/10"),
				netip.MustParsePrefix("fc00::/7"),
				netip.MustParsePrefix("fe80::/10"),
			},
			Refuse:    RefuseAnswer,
			Believe:   []Belief{BeliefECS, BeliefMAC, BeliefCPE, BeliefUmbrella},
			RateLimit: RateLimit{IPv4Prefix: 32, IPv6Prefix: 56},
		},
		Upstream: Upstream{
			Servers:  []Server{{Kind: ServerSystem}},
			Strategy: StrategyOrdered,
			Timeout:  2 * time.Second,
			Rebind:   RebindAllow,
			NAT64:    []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96")},
		},
		Cache: Cache{
			Memory:      64 * mebibyte,
			MaxTTL:      24 * time.Hour,
			NegativeTTL: 15 * time.Minute,
			ServeStale:  24 * time.Hour,
			Prefetch:    true,
			NXDomainCut: true,
		},
		Local: Local{SingleLabel: SingleLabelForward},
		Sinkhole: Sinkhole{
			Action:  ActionSinkhole,
			IPv4:    Sink{Kind: SinkAuto},
			IPv6:    Sink{Kind: SinkAuto},
			TTL:     60 * time.Second,
			Explain: ExplainCode,
		},
		ListStore: "data/lists",
		Guard: Guard{
			Protect:     []Protect{ProtectPublicSuffixes, ProtectPlatforms},
			ShrinkLimit: 50,
			OnEmpty:     OnEmptyServe,
		},
		Hits: Hits{
			Journal: Journal{
				Path:        "data/hits",
				RotateSize:  256 * mebibyte,
				RotateEvery: 24 * time.Hour,
				Keep:        90 * day,
				KeepSize:    20 * gibibyte,
				SyncEvery:   time.Second,
				MergeAbove:  10_000,
			},
			Inventory: "data/inventory.db",
			Identity:  IdentityFull,
		},
		Landing: Landing{HTTP: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8053")}},
		Console: Console{Listen: netip.MustParseAddrPort("127.0.0.1:8080")},
		Log:     Log{Level: LogInfo, Format: LogConsole},
	}
}

func defaultList() List {
	return List{
		Format:  FormatAuto,
		Refresh: time.Hour,
		TSIG:    TSIG{Algorithm: TSIGSHA256},
	}
}

func defaultGroup() Group { return Group{Mode: ModeEnforce} }
