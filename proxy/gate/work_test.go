// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

// work_test.go: how much work hostile forms are.

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostile are what forms are filled with so that each pair costs as much as it
// can.
var hostile = []string{
	"a;", "a=;", "=&", "%61;", ";", "&", "a", "abc;", "%61bc&", "cod%65=;", "Code;", "id[tok;", "Access[token&", "%u0063ode;", "%25;", "+", "[",
	"%5B", "+++code;", "error_descriptio&", "&a;", ";a&", "=", "%",
}

// F79: a form of 1 MiB is scanned in one pass. Each byte is searched for a divider
// at most twice, once for each, and nothing is allocated.
func TestF79_WorkIsLinear(t *testing.T) {
	for _, unit := range hostile {
		body := strings.Repeat(unit, maxBody/len(unit))
		pairs := newPairs(body)
		for n := 0; pairs.next(); n++ {
			if n > len(body) || pairs.searched > 2*len(body) {
				t.Fatalf("%q: %d bytes searched of %d, %d pairs", unit, pairs.searched, len(body), n)
			}
		}
		r := Response{Protocol: OAuth, Query: "code=a", ContentType: form, Body: []byte(body)}
		if allocs := testing.AllocsPerRun(4, func() { CheckResponse(&r) }); allocs > 1 {
			t.Errorf("%q: %.0f allocations", unit, allocs)
		}
	}
}

// BenchmarkCheckResponse_F79 measures a form of 1 MiB of each hostile unit. F79 is
// about the time on a processor, cpu-ms/op, which other programs on the machine
// change less than ns/op.
func BenchmarkCheckResponse_F79(b *testing.B) {
	for _, unit := range hostile {
		r := Response{Protocol: OAuth, Query: "code=a", ContentType: form, Body: []byte(strings.Repeat(unit, maxBody/len(unit)))}
		b.Run(unit, func(b *testing.B) {
			b.SetBytes(int64(len(r.Body)))
			b.ReportAllocs()
			start := processorTime(b)
			for b.Loop() {
				CheckResponse(&r)
			}
			b.ReportMetric((processorTime(b)-start).Seconds()*1e3/float64(b.N), "cpu-ms/op")
		})
	}
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkCheckResponse measures common requests.
func BenchmarkCheckResponse(b *testing.B) {
	for name, r := range map[string]Response{
		"OIDC": {Protocol: OAuth, Query: "code=" + strings.Repeat("x", 64) + "&state=" + strings.Repeat("y", 43) +
			"&session_state=1&iss=https%3A%2F%2Fidp.example"},
		"SAML": {Protocol: SAML, ContentType: form, Body: []byte("SAMLResponse=" + strings.Repeat("a%2B", 15<<10) + "&RelayState=x")},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				CheckResponse(&r)
			}
		})
	}
}
