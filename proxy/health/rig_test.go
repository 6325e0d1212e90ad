// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// addressOf is the address of target i of a test.
func addressOf(i int) string { return fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255) }

// everySeconds is a check by TCP with the defaults' thresholds.
func everySeconds(n int32) *routetable.HealthCheck {
	return &routetable.HealthCheck{IntervalSeconds: n, TimeoutSeconds: min(n, 2), UnhealthyThreshold: 3, HealthyThreshold: 2}
}

// tableOf is a table of one route for each address from 0 to n-1.
func tableOf(n int, check *routetable.HealthCheck) *routetable.Table {
	table := &routetable.Table{}
	for i := range n {
		table.Routes = append(table.Routes, routetable.Route{
			Namespace: "identity", Name: fmt.Sprint("route", i), Hostnames: []string{"auth.acme.com"},
			Protocol: routetable.OIDC, PathType: routetable.Exact, Path: fmt.Sprint("/cb", i),
			Backends: []routetable.Backend{{Name: "blue", Weight: 1, Addresses: []string{addressOf(i)}, Check: check}},
		})
	}
	return table
}

// bubble is a Checker in a bubble of synctest, and what it looked at when.
type bubble struct {
	*Checker
	t     *testing.T
	begin time.Time
	mu    sync.Mutex
	found map[string]finding       // by address, healthy when absent
	takes map[string]time.Duration // by address
	looks map[string][]time.Duration
}

// inBubble runs a Checker until test returns.
func inBubble(t *testing.T, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{
			t: t, begin: time.Now(), found: map[string]finding{}, takes: map[string]time.Duration{}, looks: map[string][]time.Duration{},
		}
		b.Checker = NewChecker(Options{Now: time.Now})
		b.look = b.fake
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() { b.Run(ctx); close(stopped) }()
		test(b)
		cancel()
		<-stopped
	})
}

func (b *bubble) fake(ctx context.Context, a *ask) finding {
	b.mu.Lock()
	b.looks[a.address] = append(b.looks[a.address], time.Since(b.begin))
	takes := b.takes[a.address]
	b.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if found, set := b.found[a.address]; set {
		return found
	}
	return healthy
}

// set says what looks at target i find from now on.
func (b *bubble) set(i int, f finding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found[addressOf(i)] = f
}

// wait lets time pass.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// looksAt are the times of the looks at target i.
func (b *bubble) looksAt(i int) []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]time.Duration(nil), b.looks[addressOf(i)]...)
}

// state returns what the report says of an ID, or "" when it says nothing.
func (b *bubble) state(id string) string {
	entries, _, _ := b.Changed(0, 1<<30)
	for _, e := range entries {
		if e.ID == id {
			return string(e.State) + e.Reason
		}
	}
	return ""
}

func (b *bubble) wants(id, state string, usable bool) {
	b.t.Helper()
	got, want := fmt.Sprint(b.state(id), " usable ", b.Usable(id)), fmt.Sprint(state, " usable ", usable)
	if got != want {
		b.t.Errorf("%s: state is %q, want %q", time.Since(b.begin), got, want)
	}
}
