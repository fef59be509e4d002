package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// askMain is the program ask of the scripts: it sends one query and prints the
// answer, response code and extended errors first, a record a line. With -until
// it asks until the answer matches.
func askMain() {
	port := flag.String("p", os.Getenv("DNS"), "port")
	network := flag.String("net", "udp", "udp or tcp")
	option := flag.String("option", "", "an EDNS option, CODE:HEX")
	until := flag.String("until", "", "ask until the answer matches this expression")
	flag.Parse()
	qtype := dns.TypeA
	if flag.NArg() > 1 {
		qtype = dns.StringToType[flag.Arg(1)]
	}
	expect := regexp.MustCompile(*until)
	for deadline := time.Now().Add(patience); ; {
		text, err := askOnce(*network, "127.0.0.1:"+*port, flag.Arg(0), qtype, options(*option)...)
		done := err == nil && expect.MatchString(text)
		if done || *until == "" || time.Now().After(deadline) {
			fmt.Println(text)
			if !done {
				fmt.Fprintln(os.Stderr, "ask:", err)
				os.Exit(1)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// options reads an EDNS option; none for "".
func options(text string) []dns.EDNS0 {
	if text == "" {
		return nil
	}
	o := new(dns.EDNS0_LOCAL)
	if _, err := fmt.Sscanf(text, "%d:%x", &o.Code, &o.Data); err != nil {
		fmt.Fprintln(os.Stderr, "ask: -option:", err)
		os.Exit(2)
	}
	return []dns.EDNS0{o}
}

func askOnce(network, addr, name string, qtype uint16, options ...dns.EDNS0) (string, error) {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	m.SetEdns0(1232, false).IsEdns0().Option = options
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	answer, _, err := c.Exchange(m, addr)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(dns.RcodeToString[answer.Rcode])
	if opt := answer.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if ede, ok := o.(*dns.EDNS0_EDE); ok {
				fmt.Fprintf(&b, " EDE %d %s", ede.InfoCode, ede.ExtraText)
			}
		}
	}
	for _, rr := range append(answer.Answer, answer.Ns...) {
		fmt.Fprintf(&b, "\n%s", strings.Join(strings.Fields(rr.String()), " "))
	}
	return b.String(), nil
}
