// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package forwarding

// response_test.go: the fields of responses, and trailers.

import (
	"net/http"
	"slices"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/http1"
)

func responseLines(replaced []string, lines ...string) []string {
	return AppendResponse(nil, &http1.Response{Status: http.StatusOK, Fields: fieldsOf(lines...)}, replaced...)
}

// Fields of the connection to the backend end here. Claims of a backend are its
// own affair.
func TestAppendResponse_EachField(t *testing.T) {
	ends := []string{
		"connection", "proxy", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "content-length",
	}
	relayed := slices.Concat(relayedNames, claims(), envoyNames, tracedNames, expectNames, []string{
		"host", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "set-cookie", "location", "proxy-authenticate", "x_y",
		"content_length", "transfer_encoding",
	})
	for wanted, names := range map[bool][]string{false: ends, true: relayed} {
		for _, name := range names {
			for _, spelling := range spellings(name) {
				line := spelling + ":\tx "
				if got := slices.Contains(responseLines(nil, line), line); got != wanted {
					t.Errorf("%s is relayed: %t", spelling, got)
				}
			}
		}
	}
}

func TestAppendResponse_KeepsOrderAndSpelling(t *testing.T) {
	got := responseLines([]string{"sunset", "deprecation"},
		"Date:x", "set-cookie: a=1 ", "SUNSET: y", "Connection: X-Hop , Set-Cookies", "X-Hop: 1", "SET-COOKIE:\tb=\xe9", "Deprecation: z", "Sunsets: 1",
		"x-hop: 2", "Keep-Alive: 5", "connection: close, x-other", "X-Other: 3", "Location: /?x=%zz;y", "Set-Cookie: a=1")
	want := []string{"Date:x", "set-cookie: a=1 ", "SET-COOKIE:\tb=\xe9", "Sunsets: 1", "Location: /?x=%zz;y", "Set-Cookie: a=1"}
	if !slices.Equal(got, want) {
		t.Errorf("lines are %q, want %q", got, want)
	}
	if got := AppendResponse([]string{"A: 1"}, &http1.Response{Fields: fieldsOf("B: 2")}); !slices.Equal(got, []string{"A: 1", "B: 2"}) {
		t.Errorf("lines are %q", got)
	}
}

// A trailer holds no field that is dropped from a head, in any spelling.
func TestAppendTrailer_EachField(t *testing.T) {
	dropped := slices.Concat(oursNames, tracedNames, expectNames, envoyNames, claims())
	for wanted, names := range map[bool][]string{false: dropped, true: append(slices.Clone(relayedNames), "grpc-status", "server-timing", "digest")} {
		for _, name := range names {
			for _, spelling := range append(spellings(name), underscored(name)...) {
				line := spelling + ":\tx "
				if got := slices.Contains(AppendTrailer(nil, fieldsOf(line)), line); got != wanted {
					t.Errorf("%s is relayed: %t", spelling, got)
				}
			}
		}
	}
	got := AppendTrailer([]string{"A: 1"}, fieldsOf("b:2 ", "Via: x", "B: 3", "b:2 "))
	if want := []string{"A: 1", "b:2 ", "B: 3", "b:2 "}; !slices.Equal(got, want) {
		t.Errorf("lines are %q, want %q", got, want)
	}
}
