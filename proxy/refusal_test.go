// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// CANARY is in each target: no log line may hold it.
const refusedQuery = "?code=CANARY"

// refusals are requests that are refused for their head or their body, each with
// what the client and the owner of the route find.
var refusals = []struct {
	name, raw string
	status    int
	reason    string
	// named: host and path can be read, so the route counts it.
	named bool
}{
	{"a line of the PROXY protocol", "PROXY TCP4 10.0.0.9 10.0.0.1 5000 80\r\nGET /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400, "proxyProtocol", false},
	{"version 2 of the PROXY protocol", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x00\x00\x09\x0a\x00\x00\x01\x13\x88\x00\x50", 400, "proxyProtocol", false},
	{"a TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03CANARY\r\n\r\n", 400, "tlsOnPlainPort", false},
	{"no HTTP", "CANARY\r\n\r\n", 400, "requestLine", false},
	{"another version", "GET /cb" + refusedQuery + " HTTP/3.0\r\nHost: " + host + "\r\n\r\n", 505, "httpVersion", true},
	{"a raw space", "GET /cb" + refusedQuery + " 1 HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400, "requestLine", true},
	{"a malformed Host", "GET /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "/x\r\n\r\n", 400, "hostMalformed", false},
	{"no Host", "GET /cb" + refusedQuery + " HTTP/1.1\r\nX: 1\r\n\r\n", 400, "noHost", false},
	{"two Hosts", "GET /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\nHost: " + host + "\r\n\r\n", 400, "headerTwice", true},
	{"a line that ends with LF", "GET /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\nX: 1\n\r\n", 400, "lineEnding", true},
	{"two lengths", "POST /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "framing", true},
	{"no length", "POST /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n", 411, "noLength", true},
	{"a body above its limit", "POST /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 99999999\r\n\r\n", 413, "bodyTooLarge", true},
	{"malformed chunks", "POST /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\nCANARY\r\n", 400, "chunkMalformed", true},
	{"a target above its limit", "GET /cb" + refusedQuery + strings.Repeat("x", maxTargetBytes) + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 414, "targetTooLong", true},
	{"a head above its limit", "GET /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\nX: " + strings.Repeat("x", maxHeaderBytes) + "\r\n\r\n", 431, "headerTooLarge", true},
	{"a method of no callback", "TRACE /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 405, "methodNotAllowed", true},
	{"a method of no response", "PUT /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n", 405, "methodNotAllowed", true},
	{"a prefetch", "GET /cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\nSec-Purpose: prefetch\r\n\r\n", 403, "prefetch", true},
	{"a parameter twice", "GET /cb" + refusedQuery + "&code=2 HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400, "parameterRepeated", true},
	{"another path", "GET /elsewhere" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 404, "noRoute", false},
	{"another host", "GET /cb" + refusedQuery + " HTTP/1.1\r\nHost: other.acme.com\r\n\r\n", 404, "noRoute", false},
	{"a path with two readings below a Prefix", "GET /pre/%61" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400, "pathNotCanonical", true},
	{"a path that leaves a Prefix", "GET /pre/../cb" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400, "pathNotCanonical", true},
	{"a path with two readings elsewhere", "GET /%70re" + refusedQuery + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400, "pathNotCanonical", false},
}

// withPrefix has an Exact and a Prefix callback.
func withPrefix() routetable.Route {
	return newRoute(func(r *routetable.Route) {
		r.Callbacks = append(r.Callbacks, routetable.Callback{Name: "tree", PathType: routetable.Prefix, Path: "/pre"})
	})
}

// logged returns the log lines with a message.
func (r *rig) logged(message string) []map[string]any {
	r.t.Helper()
	var found []map[string]any
	for line := range strings.Lines(r.log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			r.t.Fatalf("%q: %v", line, err)
		}
		if entry["msg"] == message {
			found = append(found, entry)
		}
	}
	return found
}

// W14, W15: each refusal has a page of ours, is counted by its reason, and for the
// route where host and path can be read. One line of log has the peer and the
// reason, and nothing of the request.
func TestW14_W15_EachRefusalIsCountedAndLogged(t *testing.T) {
	for _, tc := range refusals {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.lead(blueAddress, newBackend(t, ok("")))
			r.serve(withPrefix())
			if got := r.send(tc.raw); got.status != tc.status || !isPage(got.body, pages[tc.status]) {
				t.Errorf("response is %d %v %q", got.status, got.err, got.body)
			}
			if got := counted(t, r.metrics, metrics.Refused+`{reason="`+tc.reason+`"}`); got != "1" {
				t.Errorf("reason %s is counted %q times", tc.reason, got)
			}
			use, message := r.usageOf("uid"), "request refused"
			if tc.named {
				message = "callback"
				if use.Refused != 1 || use.RefusedReason != tc.reason || !use.LastRefused.Equal(begin) {
					t.Errorf("the route counts %+v", use)
				}
			} else if use.Refused != 0 {
				t.Errorf("the route counts %+v", use)
			}
			if lines := r.logged(message); len(lines) != 1 || lines[0]["peer"] != "127.0.0.1" || !tc.named && lines[0]["reason"] != tc.reason {
				t.Errorf("log has %v", lines)
			}
			if strings.Contains(r.log.String(), "CANARY") {
				t.Errorf("the log holds a part of the request: %s", r.log)
			}
		})
	}
}

// W14: scanners fill no log: one line for each reason in ten seconds, with the
// number of those that were left out.
func TestW14_LogLimit(t *testing.T) {
	var limit logLimit
	at := begin
	for _, step := range []struct {
		reason  string
		after   time.Duration
		skipped int
		ok      bool
	}{
		{"noRoute", 0, 0, true},
		{"noRoute", time.Second, 0, false},
		{"proxyProtocol", 0, 0, true},
		{"noRoute", 8 * time.Second, 0, false},
		{"noRoute", time.Second, 2, true},
		{"noRoute", 10 * time.Second, 0, true},
	} {
		at = at.Add(step.after)
		if skipped, ok := limit.allow(step.reason, at); ok != step.ok || skipped != step.skipped {
			t.Errorf("%s at %s: %d left out, written %t", step.reason, at.Sub(begin), skipped, ok)
		}
	}
}

// W15: what comes before a config, for a held claim and after a sunset is counted
// by its reason too.
func TestW15_RefusalsWithoutARequestsFault(t *testing.T) {
	r := newRig(t)
	r.get("/cb" + refusedQuery)
	r.serveTable(&routetable.Table{Holds: []routetable.Hold{{
		Namespace: "identity", Name: "gone", UID: "gone",
		Claims: []routetable.Claim{{Host: host, PathType: routetable.Exact, Path: "/held"}},
	}}, Routes: []routetable.Route{newRoute(func(r *routetable.Route) { r.Sunset = begin })}})
	r.get("/held" + refusedQuery)
	r.get("/cb" + refusedQuery + "&code=2")
	for reason, want := range map[string]string{"noConfig": "1", "held": "1"} {
		if got := counted(t, r.metrics, metrics.Refused+`{reason="`+reason+`"}`); got != want {
			t.Errorf("%s is counted %q times", reason, got)
		}
	}
	if lines := r.logged("request refused"); len(lines) != 2 || lines[0]["reason"] != "noConfig" || lines[1]["reason"] != "held" {
		t.Errorf("log has %v", lines)
	}
	if use := r.usageOf("uid"); use.Refused != 1 || use.RefusedReason != "parameterRepeated" {
		t.Errorf("after its sunset the route counts %+v", use)
	}
}
