package configs

// consoleAccess checks who may use the console, and how they reach it.
func (v *validator) consoleAccess() {
	c := v.Console
	if c.Listen.IsValid() && !c.Listen.Addr().IsLoopback() && c.TokensFile == "" {
		v.fault("console.listen", "found %s, which other machines can reach, and nothing that says who may use it, expected console.tokens_file too; or use a loopback address, and metrics.listen for /metrics, /healthz and /readyz", c.Listen)
	}
	switch {
	case c.Certificate != "" && c.Key == "":
		v.fault("console.certificate", "found a certificate without console.key, expected the PEM file of its private key too")
	case c.Certificate == "" && c.Key != "":
		v.fault("console.key", "found a key without console.certificate, expected the PEM file of its certificate too")
	}
	switch {
	case c.ClientCA == "":
	case c.Certificate == "":
		v.fault("console.client_ca", "found authorities of client certificates, which are part of TLS, expected console.certificate and console.key too")
	case c.TokensFile == "":
		v.fault("console.client_ca", "found authorities of client certificates, and nothing that says which role whose has, expected console.tokens_file too, with lines such as: alice responder certificate")
	}
}

// AllowFileList is the name of the list that allow_file is.
const AllowFileList = "allow_file"
