// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

// load.go: the three requests that the proxies relay.

import (
	"fmt"
	"strconv"
	"strings"
)

// load is one kind of request.
type load struct {
	name string
	// perSecond is the rate at which it is sent.
	perSecond int
	// message is the request of host 0; hostAt is where the digits of the host are.
	message []byte
	hostAt  int
	// serialAt is where the serial number of the code or the assertion is: our
	// proxy refuses the same response while its delivery is in flight.
	serialAt int
	// echo is the same request with the parameter echo.
	echo []byte
}

// serial is the place of a serial number.
const serial = "0000000000"

const (
	// hostDigits is the width of a host's number, so that all requests of a load
	// have the same length.
	hostDigits = 6
	oidcPath   = "/oauth2/callback"
	samlPath   = "/saml/acs"
)

// hostName is the name of a host of the benchmark.
func hostName(n int) string { return fmt.Sprintf("tenant-%0*d.login.example", hostDigits, n) }

var cookie = "session=" + strings.Repeat("s", 400) + "; nonce=" + strings.Repeat("n", 335)

// browserLines are what a browser sends: 1.3 KB with the request line and Host.
var browserLines = strings.Join([]string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Accept-Language: en-US,en;q=0.9,de;q=0.8", "Accept-Encoding: gzip, deflate, br, zstd",
	"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: cross-site", "Referer: https://idp.example/",
	"Cookie: " + cookie, "",
}, "\r\n")

// newLoads returns a GET with a code, a form_post with an ID token (8 KB) and a
// SAML response (60 KB).
func newLoads(o *Options) []load {
	const state = "state=af0ifjsldkj"
	form := "code=" + serial + strings.Repeat("c", 80-len(serial)) + "&" + state + "&id_token=" + strings.Repeat("t", 8<<10-114)
	saml := "SAMLResponse=" + serial + strings.Repeat("PHNhbWxwOlJl", 5<<10-5) + "Jl&RelayState=" + strings.Repeat("r", 24)
	return []load{
		newLoad("GET", o.Rate, oidcPath+"?code=4%2F"+serial+"&"+state+"&iss=https%3A%2F%2Fidp.example", ""),
		newLoad("form", o.Rate, oidcPath, form),
		newLoad("SAML", o.SAMLRate, samlPath, saml),
	}
}

func newLoad(name string, perSecond int, target, body string) load {
	l := load{name: name, perSecond: perSecond, message: newMessage(target, body)}
	l.serialAt = strings.Index(string(l.message), serial)
	l.hostAt = strings.Index(string(l.message), "Host: tenant-") + len("Host: tenant-")
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	l.echo = newMessage(target+separator+"echo=1", body)
	return l
}

func newMessage(target, body string) []byte {
	method, framing := "GET", ""
	if body != "" {
		method = "POST"
		framing = "Origin: https://idp.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	return []byte(method + " " + target + " HTTP/1.1\r\nHost: " + hostName(0) + "\r\n" + browserLines + framing + "\r\n" + body)
}
