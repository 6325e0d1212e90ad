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

	"github.com/callbackproxy/callback-operator/proxy/changelog"
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
			Protocol:  routetable.OIDC,
			Callbacks: []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: fmt.Sprint("/cb", i)}},
			Backends:  []routetable.Backend{{Name: "blue", Weight: 1, Addresses: []string{addressOf(i)}, Check: check}},
		})
	}
	return table
}

// bubble is a Checker in a bubble of synctest, and when it probed which address.
type bubble struct {
	*Checker
	t     *testing.T
	begin time.Time
	mu    sync.Mutex
	found map[string]finding       // by address, healthy when absent
	takes map[string]time.Duration // by address
	times map[string][]time.Duration
}

// inBubble runs a Checker until test returns.
func inBubble(t *testing.T, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{
			t: t, begin: time.Now(), found: map[string]finding{}, takes: map[string]time.Duration{}, times: map[string][]time.Duration{},
		}
		b.Checker = NewChecker(Options{Now: time.Now})
		b.run = b.fake
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() { b.Run(ctx); close(stopped) }()
		test(b)
		cancel()
		<-stopped
	})
}

func (b *bubble) fake(ctx context.Context, a *probe) finding {
	b.mu.Lock()
	b.times[a.address] = append(b.times[a.address], time.Since(b.begin))
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

// set sets the result of probes of target i from now on.
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

// probesAt are the times of the probes of target i.
func (b *bubble) probesAt(i int) []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]time.Duration(nil), b.times[addressOf(i)]...)
}

// state returns the reported state of an ID, or "" when there is none.
func (b *bubble) state(id string) string {
	entries, _, _, _ := b.Changes(changelog.Cursor{}, 1<<30)
	for _, e := range entries {
		if e.ID == id {
			return string(e.State) + e.Reason
		}
	}
	return ""
}

// expect fails unless a target has that state, and may be dialled or not.
func (b *bubble) expect(id, state string, dialled bool) {
	b.t.Helper()
	got, want := fmt.Sprint(b.state(id), " acquired ", b.TryAcquire(id)), fmt.Sprint(state, " acquired ", dialled)
	if got != want {
		b.t.Errorf("%s: state is %q, want %q", time.Since(b.begin), got, want)
	}
}
