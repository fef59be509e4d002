package hits

import (
	"encoding/base64"
	"encoding/hex"
	"time"
)

// The objects of a landing's line.

func (e *encoder) addConnectionEvent(l *line, c *Connection, now time.Time) {
	l.object("event")
	if c.Noise {
		l.raw(`"kind":"event","category":["network"]`)
	} else {
		l.raw(`"kind":"alert","category":["network","intrusion_detection"]`)
	}
	l.raw(`"type":["connection"],"action":"` + actionConnection + `","outcome":"success"`)
	e.number(l, now)
	l.raw(`"dataset":"` + DatasetLanding + `"`)
	if c.Count > 1 {
		l.time("start", c.Time, &e.clock)
		l.time("end", c.Last, &e.clock)
	}
	l.end('}')
}

func (l *line) addConnectionNetwork(c *Connection) {
	l.object("network")
	l.raw(`"transport":"tcp"`)
	l.token("protocol", c.Protocol)
	if c.Client.Addr().Unmap().Is4() {
		l.raw(`"type":"ipv4"`)
	} else {
		l.raw(`"type":"ipv6"`)
	}
	l.end('}')
}

func (l *line) addRequest(c *Connection) {
	if c.Method != "" {
		l.object("http")
		l.object("request")
		l.string("method", c.Method)
		l.some("referrer", c.Referrer)
		l.end('}')
		l.some("version", c.Version)
		l.end('}')
	}
	if c.Host != "" || c.Path != "" {
		l.object("url")
		l.some("domain", c.Host)
		l.some("path", c.Path)
		l.end('}')
	}
	if c.UserAgent != "" {
		l.object("user_agent")
		l.string("original", c.UserAgent)
		l.end('}')
	}
}

func (l *line) addTLS(c *Connection) {
	if c.JA4 == "" {
		return
	}
	l.object("tls")
	l.object("client")
	l.some("server_name", c.ServerName)
	l.string("ja4", c.JA4)
	if len(c.ALPN) > 0 {
		l.words("supported_protocols", c.ALPN...)
	}
	l.end('}')
	l.end('}')
}

func (l *line) addLanding(c *Connection) {
	l.object("sinkhole")
	l.digits("time_unix_ns", c.Time.UnixNano())
	l.token("evidence", c.Evidence)
	l.token("joined", c.Joined)
	l.some("hit_id", c.HitID)
	if c.Noise {
		l.bool("noise", true)
	}
	l.gather()
	l.addFamilies()
	l.bool("source_proven", true) // by the handshake of TCP
	if c.Forwarder {
		l.bool("forwarder", true)
	}
	if c.Expected {
		l.bool("expected", true)
	}
	l.uint("connections", max(c.Count, 1))
	if c.Count > 1 {
		l.digits("last_unix_ns", c.Last.UnixNano())
	}
	l.uint("bytes", c.Bytes)
	if c.Bytes > 0 {
		l.token("first_sha256", hex.EncodeToString(c.First[:]))
	}
	if c.HasQuery {
		l.token("query_sha256", hex.EncodeToString(c.Query[:]))
	}
	if len(c.Payload) > 0 {
		l.token("payload", base64.StdEncoding.EncodeToString(c.Payload))
	}
	l.end('}')
}
