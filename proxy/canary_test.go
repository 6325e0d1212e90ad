// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/base64"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const canary = "cAnArY+7f3/s3cr3t=="

// traces are the forms in which the canary could turn up.
var traces = []string{
	canary, url.QueryEscape(canary), url.PathEscape(canary), strings.ToLower(canary), "cAnArY",
	base64.StdEncoding.EncodeToString([]byte(canary)), base64.RawURLEncoding.EncodeToString([]byte(canary)),
}

// found returns the sinks in which a trace of the canary is.
func found(sinks map[string]string) []string {
	var in []string
	for name, content := range sinks {
		for _, trace := range traces {
			if strings.Contains(content, trace) {
				in = append(in, name+" has "+trace)
				break
			}
		}
	}
	return in
}

// T10: whatever becomes of a request, its secrets are in the request to the
// backend and nowhere else.
func TestT10_NoSecretLeavesTheProxy(t *testing.T) {
	q := url.QueryEscape(canary)
	query := "code=" + q + "&state=" + q + "&id_token=" + q + "&" + q + "=" + q + "&x=" + canary
	form := "SAMLResponse=" + q + "&RelayState=" + q
	fields := []string{
		"Cookie: session=" + canary + "; " + "cAnArY=1", "Authorization: Bearer " + canary, "Referer: https://idp/?code=" + canary,
		"X-CAnArY: " + canary, "X-Forwarded-For: " + canary, "Via: 1.1 " + canary, "X-Request-Id: " + canary, "User-Agent: " + canary,
	}
	r := newRig(t)
	hold := func(conn net.Conn, _ string) { _, _ = io.Copy(io.Discard, conn) }
	for i, script := range []func(net.Conn, string){
		ok("fine"), func(net.Conn, string) {}, hold,
		responds("HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n"), responds(canary + "\r\n\r\n"),
		responds("HTTP/1.1 200 OK\r\nContent-Length: " + canary + "\r\n\r\n"),
		responds("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc"),
		responds("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + canary + "\r\n"),
		responds("HTTP/1.1 101 " + canary + "\r\nUpgrade: " + canary + "\r\n\r\n"),
		responds("HTTP/1.1 200 OK\r\nSet-Cookie: a=" + canary + "\r\nContent-Length: 0\r\n\r\n"),
	} {
		r.connectTo["10.0.2."+string(rune('0'+i))+":80"] = newBackend(t, script).listener.Addr().String()
	}
	r.connectTo["10.0.2.99:80"] = "127.0.0.1:1" // refuses
	var routes []routetable.Route
	hosts := []string{"loop.acme.com", "sunset.acme.com"}
	add := func(name, address string, change func(*routetable.Route)) {
		routes = append(routes, newRoute(func(r *routetable.Route) {
			r.Name, r.Hostnames, r.TimeoutSeconds, r.Callbacks[0].PathType = name, []string{name + ".acme.com"}, 1, routetable.Prefix
			r.Backends = []routetable.Backend{{Name: "blue", Weight: 1, Addresses: []string{address}}}
			if change != nil {
				change(r)
			}
		}))
	}
	for i := range 10 {
		name := "b" + string(rune('0'+i))
		add(name, "10.0.2."+string(rune('0'+i))+":80", nil)
		hosts = append(hosts, name+".acme.com")
	}
	add("refused", "10.0.2.99:80", nil)
	add("loop", "10.0.2.0:80", nil)
	add("sunset", "10.0.2.0:80", func(r *routetable.Route) { r.Sunset = begin })
	add("panics", "10.0.2.0:80", nil)
	hosts = append(hosts, "refused.acme.com", "unknown.acme.com", "cAnArY.acme.com")

	var pages strings.Builder
	try := func(raw string) {
		got := exchangeRaw(t, r.address, raw)
		if strings.Contains(got.body, "<h1>") { // the proxy's own
			pages.WriteString(got.body)
			for name, values := range got.header {
				pages.WriteString(name + ": " + strings.Join(values, ",") + "\n")
			}
		}
	}
	round := func() {
		for _, name := range hosts {
			head := " HTTP/1.1\r\nHost: " + name + "\r\n" + strings.Join(fields, "\r\n") + "\r\n"
			if name == "loop.acme.com" {
				head += "Via: 1.1 " + pseudonym + "\r\n"
			}
			try("GET /cb?" + query + head + "\r\n")
			try("GET /cb?" + query + "&code=" + q + head + "\r\n")
			try("GET /" + "cAnArY" + "/../?" + query + head + "\r\n")
			try("GET /cb?" + canary + " " + head + "\r\n")
			try("cAnArY /cb?" + query + head + "\r\n")
			try("POST /cb?" + query + head + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
				strconv.Itoa(len(form)) + "\r\n\r\n" + form)
			try("POST /cb" + head + "Content-Type: " + canary + "\r\nContent-Length: 3\r\n\r\nabc")
			try("POST /cb" + head + "Content-Length: " + canary + "\r\n\r\nabc")
		}
	}
	round() // without a config
	r.serve(routes...)
	round()
	r.handler.upstream = attempter(nil) // panics with a nil function
	try("GET /cb?" + query + " HTTP/1.1\r\nHost: panics.acme.com\r\n\r\n")

	token := sign(t, jose.EdDSA, r.private, claimsFor(r.admin, begin))
	sinks := map[string]string{
		"log":     r.log.String(),
		"metrics": exchangeRaw(t, r.admin, getBytes("/metrics?code="+q)).body,
		"report":  r.report(token).body,
		"readyz":  exchangeRaw(t, r.admin, getBytes("/readyz?code="+q)).body,
		"pages":   pages.String(),
	}
	for name, content := range sinks {
		if len(content) < 10 && name != "readyz" {
			t.Errorf("%s is empty: nothing was tried", name)
		}
	}
	for _, outcome := range []outcome{delivered, refused, sunsetPassed, notDelivered, unknown, truncated} {
		if !strings.Contains(sinks["log"], `"outcome":"`+string(outcome)+`"`) {
			t.Errorf("no request was %s", outcome)
		}
	}
	if in := found(sinks); len(in) > 0 {
		t.Errorf("leaks: %q", in)
	}

	// The control: the scan finds what is there.
	r.handler.log.Info("control", "value", url.QueryEscape(canary))
	r.metrics.Count(metrics.Refused, canary)
	control := map[string]string{"log": r.log.String(), "metrics": exchangeRaw(t, r.admin, getBytes("/metrics")).body}
	if in := found(control); len(in) != 2 {
		t.Errorf("the scan finds %q", in)
	}
}
