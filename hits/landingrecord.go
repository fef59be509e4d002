package hits

// RecordConnection is what a landing's line has beside what hits have.
type RecordConnection struct {
	Destination RecordServer `json:"destination"` // where the connection went to
	HTTP        struct {
		Request struct {
			Method   string `json:"method"`
			Referrer string `json:"referrer"`
		} `json:"request"`
		Version string `json:"version"`
	} `json:"http"`
	URL struct {
		Domain string `json:"domain"`
		Path   string `json:"path"`
	} `json:"url"`
	UserAgent struct {
		Original string `json:"original"`
	} `json:"user_agent"`
	TLS struct {
		Client struct {
			ServerName         string   `json:"server_name"`
			JA4                string   `json:"ja4"`
			SupportedProtocols []string `json:"supported_protocols"`
		} `json:"client"`
	} `json:"tls"`
}

// RecordLanding is what the object sinkhole of a landing's line has beside what hits have.
type RecordLanding struct {
	Evidence    string `json:"evidence"` // connected or sent
	Joined      string `json:"joined"`   // by what it was found to belong to a hit
	HitID       string `json:"hit_id"`   // event.id of that hit
	Noise       bool   `json:"noise"`    // nothing but the connection itself: no machine
	Connections uint64 `json:"connections"`
	Bytes       uint64 `json:"bytes"`
	FirstSHA256 string `json:"first_sha256"`
	QuerySHA256 string `json:"query_sha256"`
	Payload     []byte `json:"payload"`
}
