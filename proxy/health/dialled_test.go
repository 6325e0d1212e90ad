// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func TestDialled_WithoutACheck(t *testing.T) {
	id := routetable.TargetID(addressOf(0), nil)
	fail := func(b *bubble, times int) {
		for range times {
			b.Dialled(id, false)
		}
	}
	for name, test := range map[string]func(b *bubble){
		"three in a row": func(b *bubble) {
			fail(b, 2)
			b.expect(id, "", true)
			fail(b, 1)
			b.expect(id, "UnhealthyUnreachable", false)
		},
		"not in a row": func(b *bubble) {
			for range 10 {
				fail(b, 2)
				b.Dialled(id, true)
			}
			b.expect(id, "", true)
		},
		"a success clears it": func(b *bubble) {
			t := b.t

			fail(b, 3)
			b.Dialled(id, true)
			b.expect(id, "Unmeasured", true)
			if timer := (*b.targets.Load())[id].timer; timer != nil {
				t.Error("its end is still scheduled")
			}
			fail(b, 2)
			b.expect(id, "Unmeasured", true)
			wait(time.Minute)
			b.expect(id, "Unmeasured", true)
		},
		"it expires": func(b *bubble) {
			t := b.t

			fail(b, 3)
			wait(passiveLife - time.Millisecond)
			if b.state(id) != "UnhealthyUnreachable" {
				t.Errorf("state is %s", b.state(id))
			}
			wait(2 * time.Millisecond)
			b.expect(id, "Unmeasured", true)
			fail(b, 2)
			b.expect(id, "Unmeasured", true)
		},
		"failures renew it": func(b *bubble) {
			fail(b, 3)
			for range 10 {
				wait(20 * time.Second)
				fail(b, 1)
				b.expect(id, "UnhealthyUnreachable", false)
			}
		},
		"one in five seconds may try": func(b *bubble) {
			t := b.t

			fail(b, 3)
			tries := 0
			for range 250 {
				wait(100 * time.Millisecond)
				for range 10 {
					if b.TryAcquire(id) {
						tries++
					}
				}
			}
			if tries != 5 {
				t.Errorf("%d tries in 25 s", tries)
			}
		},
		"unknown": func(b *bubble) {
			for range 10 {
				b.Dialled("unknown", false)
			}
			b.expect("unknown", "", true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				b.Set(tableOf(1, nil))
				test(b)
			})
		})
	}
}

// A check that succeeds is a success like a dial's: failures before it and
// after it are not in a row.
func TestDialled_ChecksBreakARowOfFailures(t *testing.T) {
	inBubble(t, func(b *bubble) {
		check := everySeconds(5)
		id := routetable.TargetID(addressOf(0), check)
		b.Set(tableOf(1, check))
		for range 10 {
			wait(6 * time.Second)
			b.Dialled(id, false)
			b.Dialled(id, false)
			b.expect(id, "Healthy", true)
		}
		b.Dialled(id, false)
		b.expect(id, "UnhealthyUnreachable", false)
	})
}

// With a check, dials can make a target unhealthy before the check does, and only
// the check makes it healthy again.
func TestDialled_WithACheck(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		check := everySeconds(300)
		check.UnhealthyThreshold = 2
		id := routetable.TargetID(addressOf(0), check)
		b.Set(tableOf(1, check))
		wait(firstWithin)
		b.expect(id, "Healthy", true)
		b.Dialled(id, false)
		b.Dialled(id, true)
		b.Dialled(id, false)
		b.expect(id, "Healthy", true)
		b.Dialled(id, false)
		b.expect(id, "UnhealthyUnreachable", false)
		b.Dialled(id, true)
		b.expect(id, "UnhealthyUnreachable", false)
		probes := len(b.probesAt(0))
		wait(2 * firstInterval)
		if len(b.probesAt(0)) != probes+1 {
			t.Error("the check waits for its turn")
		}
		b.expect(id, "UnhealthyUnreachable", false)
		wait(331 * time.Second)
		b.expect(id, "Healthy", true)
	})
}
