// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
)

const (
	// statusWriters is how many statuses of one pass are written at a time.
	statusWriters = 8
	// writingTime bounds the time in which a pass begins to write statuses: what
	// changed meanwhile is published by the next one, and never waits for the
	// statuses of thousands of others. A fleet that must rest before that one
	// writes as long, and a pass that took longer as long as it took: where there
	// is always something new, statuses would never catch up with it otherwise.
	writingTime = 500 * time.Millisecond
	// longWritingTime is the bound as long as nothing changed in any fleet.
	longWritingTime = 5 * time.Second
)

// The kinds that have statuses.
var (
	kindRoute = callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackRoute")
	kindProxy = callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackProxy")
)

// pendingStatus is the status of an object that differs from the last one.
type pendingStatus struct {
	kind   schema.GroupVersionKind
	object client.Object
	status any // *CallbackRouteStatus or *CallbackProxyStatus
	change status.Change
	// before and after are the conditions of the last status and of this one, of
	// which the news is told by events.
	before, after []metav1.Condition
	news          newsRule
	// isRefused says that the API server would not store the last status.
	isRefused bool
	// rank is how many of its namespace come before it.
	rank int
}

// writeStatuses writes each status that differs from the stored one, whole,
// and then emits the events of its transitions. now is the time of day of the
// pass, passBegan the same by the clock that measures. It returns when there is
// more to write; zero: there is not.
func (r *Reconciler) writeStatuses(ctx context.Context, s *compile.Snapshot, result *compile.Plan, seen *sight, now, passBegan time.Time) (next time.Time, err error) {
	pending, next := r.pending(s.Key, result, seen, now)
	inTurn(pending)
	if s.Proxy != nil && seen.isDeployed { // else the outcome brings the next pass
		own, later := r.pendingProxy(s.Key, s.Proxy, func(p *callbackv1alpha1.CallbackProxy) callbackv1alpha1.CallbackProxyStatus {
			return status.ComputeProxy(p, result, &seen.fleet, now)
		}, now)
		pending, next = append(own, pending...), compile.Earlier(next, later)
	}
	more, err := r.write(ctx, s.Key, pending, now, passBegan)
	return compile.Earlier(next, more), err
}

// write writes the statuses that wait for nothing else, as far as there is time.
// One that cannot be written does not keep the others from being written.
func (r *Reconciler) write(ctx context.Context, fleet types.NamespacedName, pending []pendingStatus, now, passBegan time.Time) (next time.Time, err error) {
	var group errgroup.Group
	group.SetLimit(statusWriters)
	failed := make([]error, len(pending))
	var again atomic.Bool // there is news, such as that somebody else wrote as well
	begin, routes := r.pace.clock.Now(), 0
	brief := max(writingTime, begin.Sub(passBegan), r.pace.pass(fleet, begin))
	for i := range pending {
		at := r.pace.clock.Now()
		if took := at.Sub(begin); took > longWritingTime || took > brief && r.arrivals.any() {
			next = now
			break
		}
		if wait := r.pace.begin(pending[i].change, at); wait > 0 {
			next = compile.Earlier(next, now.Add(wait))
			continue
		}
		if pending[i].kind == kindRoute {
			routes++
		}
		group.Go(func() error {
			failed[i] = r.writeStatus(ctx, &pending[i], &again)
			return nil
		})
	}
	_ = group.Wait()
	r.pace.turn(fleet, routes)
	if again.Load() {
		next = now
	}
	return next, errors.Join(failed...)
}

// pending returns the statuses of routes that may be written now, and when the
// first of the others may.
func (r *Reconciler) pending(fleet types.NamespacedName, result *compile.Plan, seen *sight, now time.Time) (pending []pendingStatus, next time.Time) {
	first := r.pace.turn(fleet, 0)
	for i := range result.Verdicts {
		verdict := &result.Verdicts[(first+i)%len(result.Verdicts)]
		one, later := r.pendingRoute(fleet, verdict, seen, now)
		if next = compile.Earlier(next, later); one != nil {
			pending = append(pending, *one)
		}
	}
	return pending, next
}

// pendingRoute returns the status of a route if it differs and may be written
// now, and when there may be another one to write.
func (r *Reconciler) pendingRoute(fleet types.NamespacedName, verdict *compile.Verdict, seen *sight, now time.Time) (pending *pendingStatus, next time.Time) {
	route, stored, before := verdict.Route, &verdict.Route.Status, &verdict.Route.Status
	last, rest := r.pace.refused(route, r.pace.clock.Now())
	if refused, is := last.(*callbackv1alpha1.CallbackRouteStatus); is {
		verdict, before = withStatus(verdict, refused), refused
		if rest > 0 {
			stored, next = refused, now.Add(rest)
		}
	}
	use, since := seen.use(verdict.Route), seen.published.Since(route.UID)
	computed := status.ComputeRoute(verdict, &status.Observation{Fleet: &seen.fleet, Since: since, Traffic: use}, now)
	if verdict.Accepted.OK {
		if quiet, _ := status.QuietAt(verdict.Route, &use); now.Before(quiet) {
			next = compile.Earlier(next, quiet)
		}
	}
	change := status.CompareRoute(stored, &computed)
	if change == status.Unchanged {
		return nil, next
	}
	wait := r.pace.status(route.UID, change, r.pace.clock.Now())
	if since == seen.published.Version { // others' changes are nothing to wait for
		wait = max(wait, r.ackWait(fleet, computed.Conditions))
	}
	if wait > 0 {
		return nil, compile.Earlier(next, now.Add(wait))
	}
	return &pendingStatus{
		kind: kindRoute, object: route, status: &computed, change: change,
		before: before.Conditions, after: computed.Conditions, news: routeNews, isRefused: last != nil,
	}, next
}

// pendingProxy returns the status of a CallbackProxy as compute has it, if it
// may be written now, or when it may.
func (r *Reconciler) pendingProxy(key types.NamespacedName, proxy *callbackv1alpha1.CallbackProxy,
	compute func(*callbackv1alpha1.CallbackProxy) callbackv1alpha1.CallbackProxyStatus, now time.Time,
) (pending []pendingStatus, next time.Time) {
	stored, before := &proxy.Status, &proxy.Status
	last, rest := r.pace.refused(proxy, r.pace.clock.Now())
	if refused, is := last.(*callbackv1alpha1.CallbackProxyStatus); is {
		before = refused
		if rest > 0 {
			stored, next = refused, now.Add(rest)
		}
	}
	as := *proxy
	as.Status = *before
	computed := compute(&as)
	if apiequality.Semantic.DeepEqual(*stored, computed) {
		return nil, next
	}
	wait := max(r.pace.status(proxy.UID, status.Spec, r.pace.clock.Now()), r.ackWait(key, computed.Conditions))
	if wait > 0 {
		return nil, compile.Earlier(next, now.Add(wait))
	}
	return []pendingStatus{{
		kind: kindProxy, object: proxy, status: &computed, change: status.Spec,
		before: before.Conditions, after: computed.Conditions, news: proxyNews, isRefused: last != nil,
	}}, next
}

// inTurn sorts statuses: of each namespace one in turn, and in each namespace
// first what can wait least.
func inTurn(pending []pendingStatus) {
	slices.SortStableFunc(pending, func(a, b pendingStatus) int { return -cmp.Compare(a.change, b.change) })
	ranks := map[string]int{}
	for i := range pending {
		namespace := pending[i].object.GetNamespace()
		pending[i].rank = ranks[namespace]
		ranks[namespace]++
	}
	slices.SortStableFunc(pending, func(a, b pendingStatus) int { return cmp.Compare(a.rank, b.rank) })
}

// withStatus returns a verdict on the same route with another status.
func withStatus(v *compile.Verdict, other *callbackv1alpha1.CallbackRouteStatus) *compile.Verdict {
	verdict, route := *v, *v.Route
	route.Status = *other
	verdict.Route = &route
	return &verdict
}

// ackWait returns how long a status has to wait in which instances have not
// acknowledged yet what was published last.
func (r *Reconciler) ackWait(fleet types.NamespacedName, conditions []metav1.Condition) time.Duration {
	c := find(conditions, callbackv1alpha1.ConditionProgrammed)
	if c == nil || c.Reason != callbackv1alpha1.ReasonPending {
		return 0
	}
	return r.pace.pending(fleet)
}
