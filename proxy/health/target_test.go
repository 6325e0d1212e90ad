// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Each letter is a probe: its result, and the finding after it.
func TestTarget_RiseAndFall(t *testing.T) {
	letters := map[rune]finding{'-': unmeasured, 'h': healthy, 'u': unreachable, 'n': noAnswer, 'b': badStatus}
	for name, tc := range map[string]struct {
		fall, rise    int32
		probes, after string
	}{
		"one success is enough at first":       {3, 2, "hhh", "hhh"},
		"failures first need the threshold":    {3, 2, "uuuu", "--uu"},
		"a failure first and then a success":   {3, 2, "uuh", "--h"},
		"two failures are not three":           {3, 2, "huuhuuh", "hhhhhhh"},
		"three are":                            {3, 2, "huuuu", "hhhuu"},
		"one success is not two":               {3, 2, "uuuhuhuhh", "--uuuuuuh"},
		"the reason is the last one":           {2, 1, "hubn", "hhbn"},
		"thresholds of one":                    {1, 1, "uhuhb", "uhuhb"},
		"no result changes nothing":            {2, 2, "-u-u-h-h-", "---uuuuhh"},
		"a success ends a series of failures":  {2, 1, "huhuhu", "hhhhhh"},
		"a failure ends a series of successes": {1, 3, "uhhuhhuhhh", "uuuuuuuuuh"},
	} {
		t.Run(name, func(t *testing.T) {
			target := &target{probe: &probe{check: routetable.HealthCheck{UnhealthyThreshold: tc.fall, HealthyThreshold: tc.rise}}}
			after := ""
			for _, letter := range tc.probes {
				target.found = target.apply(letters[letter])
				for l, f := range letters {
					if f == target.found {
						after += string(l)
					}
				}
			}
			if after != tc.after {
				t.Errorf("after %s it is %s, want %s", tc.probes, after, tc.after)
			}
		})
	}
}

func TestTarget_CountsWithoutWrappingAround(t *testing.T) {
	target := &target{probe: &probe{check: routetable.HealthCheck{UnhealthyThreshold: 10, HealthyThreshold: 10}}}
	for i := range 1000 {
		target.found = target.apply(unreachable)
		if i >= 9 && target.found != unreachable {
			t.Fatalf("after %d failures it is %s", i+1, target.found)
		}
	}
	for i := range 1000 {
		target.found = target.apply(healthy)
		if (i >= 9) != (target.found == healthy) {
			t.Fatalf("after %d successes it is %s", i+1, target.found)
		}
	}
}

func TestFinding_StateAndReason(t *testing.T) {
	for f, want := range map[finding]routetable.TargetReport{
		unmeasured:    {State: "Unmeasured"},
		healthy:       {State: "Healthy"},
		unreachable:   {State: "Unhealthy", Reason: "Unreachable"},
		noAnswer:      {State: "Unhealthy", Reason: "NoAnswer"},
		badStatus:     {State: "Unhealthy", Reason: "BadStatus"},
		pathNotServed: {State: "Unhealthy", Reason: "CallbackPathNotServed"},
	} {
		if got := (routetable.TargetReport{State: f.state(), Reason: f.reason()}); got != want {
			t.Errorf("%d is %+v, want %+v", f, got, want)
		}
	}
}
