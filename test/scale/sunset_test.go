// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

const (
	// rehearsal is how long before the sunset a first sweep begins, which also opens
	// the connections.
	rehearsal = 30 * time.Second
	// callersPerFleet is the number of connections to one proxy.
	callersPerFleet = 2
)

// sunset ends all routes in the same second, and sends a callback to each of them
// from that second on.
func (r *run) sunset() {
	r.b.Helper()
	end := r.moveSunsets()
	time.Sleep(time.Until(end.Add(-rehearsal)))
	callers := r.openCallers() // a connection without a request is closed soon
	before := r.sweep(callers, time.Now())
	r.judge("just before the sunset: responses other than 200", before.others(http.StatusOK), "none", before.all(http.StatusOK))

	ended := r.tracker.expect(r.n, hasEnded)
	r.Expect(time.Until(end)).To(BeNumerically(">", 5*time.Second), "the rehearsal took too long")
	time.Sleep(time.Until(end.Add(-3 * time.Second)))
	r.lapse.begin()
	after := r.sweep(callers, end)
	r.judge("from the sunset on: responses other than 410", after.others(http.StatusGone), "none", after.all(http.StatusGone))
	r.report("sweep over all routes from the sunset on, took", millis(after.took))
	r.report("sweep: response time, median/max", spread(after.times))
	last, err := r.tracker.wait(r.ctx, ended, patience)
	r.Expect(err).NotTo(HaveOccurred(), "SunsetPassed; the manager's log ends with\n%s", r.logTail())
	r.judge("from the sunset to all statuses", seconds(last.Sub(end)), "under 60 s", last.Sub(end) < time.Minute)
	writes, _ := split(r.lapse.end("sunset"))
	r.reportWrites("sunset", writes)
	r.reportMemory("after the sunset")
	for _, c := range callers {
		c.close()
	}
}

// moveSunsets sets the same sunset for all routes, so far ahead that all proxies
// acknowledge it before, by the duration of the creation.
func (r *run) moveSunsets() (end time.Time) {
	r.b.Helper()
	end = time.Now().Add(2*r.filled + time.Minute).Truncate(time.Second)
	programmed := r.tracker.expect(r.n, func(route *callbackv1alpha1.CallbackRoute) bool {
		return route.Spec.SunsetTime.Time.Equal(end) && isProgrammed(route)
	})
	r.lapse.begin()
	began := time.Now()
	err := r.each(func(ctx context.Context, p place) error {
		return r.edit(ctx, p, func(route *callbackv1alpha1.CallbackRoute) { route.Spec.SunsetTime = metav1.NewTime(end) })
	})
	r.Expect(err).NotTo(HaveOccurred())
	r.report("sunset of every route moved, by the API server's responses", seconds(time.Since(began)))
	last, err := r.tracker.wait(r.ctx, programmed, time.Until(end)-rehearsal)
	r.Expect(err).NotTo(HaveOccurred(), "the moved sunsets were not acknowledged in time")
	r.report("from the first move to all Programmed", seconds(last.Sub(began)))
	writes, _ := split(r.lapse.end("move"))
	delete(writes, "PUT callbackroutes")
	r.reportWrites("move", writes)
	return end
}

// openCallers connects to all proxies; those of one are neighbours.
func (r *run) openCallers() []*caller {
	r.b.Helper()
	var callers []*caller
	for i := range fleets * callersPerFleet {
		c, err := newCaller(r.Proxies[i/callersPerFleet].Address)
		r.Expect(err).NotTo(HaveOccurred())
		callers = append(callers, c)
	}
	return callers
}

// result is the result of a sweep.
type result struct {
	took  time.Duration
	times []time.Duration
	codes map[int]int // responses by status; 0: none
	// last is when the last response of each status came, after the begin.
	last map[int]time.Duration
	err  error // the reason of a missing response
}

// sweep sends one callback to every route, from a given moment on, as fast as it
// can.
func (r *run) sweep(callers []*caller, begin time.Time) *result {
	r.b.Helper()
	work := make([][][]byte, len(callers))
	for i := range r.n {
		p := placeOf(i)
		at := p.fleet*callersPerFleet + i/fleets%callersPerFleet
		work[at] = append(work[at], p.callback())
	}
	out := &result{codes: map[int]int{}, last: map[int]time.Duration{}}
	var mu sync.Mutex
	var sending sync.WaitGroup
	time.Sleep(time.Until(begin))
	for i, c := range callers {
		sending.Go(func() {
			mine := c.sendAll(work[i], begin)
			mu.Lock()
			defer mu.Unlock()
			out.merge(mine)
		})
	}
	sending.Wait()
	out.took = time.Since(begin)
	return out
}

func (c *caller) sendAll(requests [][]byte, begin time.Time) *result {
	out := &result{codes: map[int]int{}, last: map[int]time.Duration{}}
	for _, request := range requests {
		sent := time.Now()
		status, _, err := c.send(request)
		if err != nil {
			status, out.err = 0, err
		}
		out.times = append(out.times, time.Since(sent))
		out.codes[status]++
		out.last[status] = time.Since(begin)
	}
	return out
}

func (s *result) merge(other *result) {
	s.times = append(s.times, other.times...)
	s.err = cmp.Or(s.err, other.err)
	for status, n := range other.codes {
		s.codes[status] += n
		s.last[status] = max(s.last[status], other.last[status])
	}
}

func (s *result) all(status int) bool { return len(s.codes) == 1 && s.codes[status] > 0 }

// others describes the responses that are not the expected ones.
func (s *result) others(expected int) string {
	var out []string
	for status, n := range s.codes {
		if status != expected {
			out = append(out, fmt.Sprintf("%d with status %d, the last after %s", n, status, millis(s.last[status])))
		}
	}
	if len(out) == 0 {
		return "none"
	}
	slices.Sort(out)
	if s.err != nil {
		out = append(out, s.err.Error())
	}
	return strings.Join(out, "; ")
}
