// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
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

// pendingStatus is a route's status that differs from the last one, which the
// route has.
type pendingStatus struct {
	route  *callbackv1alpha1.CallbackRoute
	status callbackv1alpha1.CallbackRouteStatus
	change compile.Change
	// isRefused says that the API server would not store the route's last status.
	isRefused bool
	// rank is how many of its namespace come before it.
	rank int
}

// writeStatuses writes each status that differs from the stored one, whole,
// and then emits the events of its transitions. One status that cannot be
// written does not keep the others from being written. now is the time of day
// of the pass, passBegan the same by the clock that measures. It returns when
// there is more to write; zero: there is not.
func (r *Reconciler) writeStatuses(ctx context.Context, s *compile.Snapshot, result *compile.Result, seen *sight, now, passBegan time.Time) (next time.Time, err error) {
	pending, next := r.pending(s.Key, result, seen, now)
	var group errgroup.Group
	group.SetLimit(statusWriters)
	failed := make([]error, len(pending)+1)
	var again atomic.Bool // there is news, such as that somebody else wrote as well
	if s.Proxy != nil {
		status := compile.ProxyStatus(s.Proxy, result, &seen.fleet, now)
		wait := max(r.ackWait(s.Key, status.Conditions), r.pace.status(s.Proxy.UID, compile.Declared, r.pace.clock.Now()))
		switch {
		case apiequality.Semantic.DeepEqual(s.Proxy.Status, status):
		case wait > 0:
			next = soonest(next, now.Add(wait))
		default:
			group.Go(func() error {
				failed[len(pending)] = r.writeProxyStatus(ctx, s.Proxy, &status, &again)
				return nil
			})
		}
	}
	begin, begun := r.pace.clock.Now(), 0
	brief := max(writingTime, begin.Sub(passBegan))
	if s.Proxy != nil {
		brief = max(brief, r.pace.pass(s.Key, begin))
	}
	for i := range pending {
		took := r.pace.clock.Since(begin)
		if took > longWritingTime || took > brief && r.arrivals.any() {
			next = now
			break
		}
		begun++
		group.Go(func() error {
			failed[i] = r.writeRouteStatus(ctx, &pending[i], &again)
			return nil
		})
	}
	_ = group.Wait()
	r.pace.turn(s.Key, begun)
	if again.Load() {
		next = now
	}
	return next, errors.Join(failed...)
}

// pending returns the statuses that may be written now, of each namespace in
// turn, and when the first of the others may.
func (r *Reconciler) pending(fleet types.NamespacedName, result *compile.Result, seen *sight, now time.Time) (pending []pendingStatus, next time.Time) {
	ranks := map[string]int{}
	first := r.pace.turn(fleet, 0)
	for i := range result.Verdicts {
		verdict := &result.Verdicts[(first+i)%len(result.Verdicts)]
		stored := &verdict.Route.Status
		refused, rest := r.pace.refused(verdict.Route, r.pace.clock.Now())
		if refused != nil {
			verdict = withStatus(verdict, refused)
		}
		route := verdict.Route
		use := seen.use(route)
		status := compile.RouteStatus(verdict, &compile.Observed{Fleet: &seen.fleet, Since: seen.published.Since(route.UID), Use: use}, now)
		if verdict.Accepted.OK {
			if quiet, _ := compile.QuietAt(route, &use); now.Before(quiet) {
				next = soonest(next, quiet)
			}
		}
		if rest > 0 {
			stored, next = refused, soonest(next, now.Add(rest))
		}
		change := compile.Compare(stored, &status)
		if change == compile.Same {
			continue
		}
		wait := r.ackWait(fleet, status.Conditions)
		if wait == 0 {
			wait = r.pace.status(route.UID, change, r.pace.clock.Now())
		}
		if wait > 0 {
			next = soonest(next, now.Add(wait))
			continue
		}
		pending = append(pending, pendingStatus{
			route: route, status: status, isRefused: refused != nil, change: change, rank: ranks[route.Namespace],
		})
		ranks[route.Namespace]++
	}
	slices.SortStableFunc(pending, func(a, b pendingStatus) int { return cmp.Compare(a.rank, b.rank) })
	return pending, next
}

// withStatus returns a verdict on the same route with another status.
func withStatus(v *compile.Verdict, status *callbackv1alpha1.CallbackRouteStatus) *compile.Verdict {
	verdict, route := *v, *v.Route
	route.Status = *status
	verdict.Route = &route
	return &verdict
}

// ackWait returns how long a status has to wait in which instances have not
// acknowledged yet.
func (r *Reconciler) ackWait(fleet types.NamespacedName, conditions []metav1.Condition) time.Duration {
	c := find(conditions, callbackv1alpha1.ConditionProgrammed)
	if c == nil || c.Reason != callbackv1alpha1.ReasonPending {
		return 0
	}
	return r.pace.pending(fleet)
}

// soonest returns the earlier of two instants, of which the zero one is never.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (r *Reconciler) writeRouteStatus(ctx context.Context, p *pendingStatus, again *atomic.Bool) error {
	kind := callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackRoute")
	r.pace.writes(p.route.UID)
	version, err := r.applyStatus(ctx, kind, p.route, &p.status)
	if r.pace.wrote(p.route.UID, p.change, version, r.pace.clock.Now()) {
		again.Store(true)
	}
	if apierrors.IsInvalid(err) {
		// What is stored of this route breaks a rule that is younger than it, and
		// so does whatever is added to it. Events still tell.
		if !p.isRefused {
			ctrl.LoggerFrom(ctx).Error(err, "a status cannot be stored: events tell of the route until it is applied anew",
				"namespace", p.route.Namespace, "name", p.route.Name)
		}
		r.pace.refuse(p, r.pace.clock.Now())
		again.Store(true) // the next pass knows when it is tried again
	} else if err != nil || version == "" {
		return err
	}
	r.emit(kind, p.route, p.route.Status.Conditions, p.status.Conditions, routeNews)
	return nil
}

func (r *Reconciler) writeProxyStatus(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, status *callbackv1alpha1.CallbackProxyStatus, again *atomic.Bool) error {
	kind := callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackProxy")
	r.pace.writes(proxy.UID)
	version, err := r.applyStatus(ctx, kind, proxy, status)
	if r.pace.wrote(proxy.UID, compile.Declared, version, r.pace.clock.Now()) {
		again.Store(true)
	}
	if err != nil || version == "" {
		return err
	}
	r.emit(kind, proxy, proxy.Status.Conditions, status.Conditions, proxyNews)
	return nil
}

// statusPatch applies a status and nothing else. The answer of the API server
// is read into it; it holds the whole object, which typed code may be unable
// to read, so only the metadata are typed here.
type statusPatch struct {
	metav1ac.TypeMetaApplyConfiguration
	*metav1ac.ObjectMetaApplyConfiguration `json:"metadata,omitempty"`

	Status json.RawMessage `json:"status"`
}

// IsApplyConfiguration marks the type as an apply configuration.
func (*statusPatch) IsApplyConfiguration() {}

// applyStatus returns the resourceVersion that the write gave the object; empty
// when the object is gone.
func (r *Reconciler) applyStatus(ctx context.Context, kind schema.GroupVersionKind, object client.Object, status any) (version string, err error) {
	content, err := json.Marshal(status)
	if err != nil {
		return "", fmt.Errorf("encode status of %s: %w", kind.Kind, err)
	}
	patch := &statusPatch{
		TypeMetaApplyConfiguration: *metav1ac.TypeMeta().WithAPIVersion(kind.GroupVersion().String()).WithKind(kind.Kind),
		ObjectMetaApplyConfiguration: metav1ac.ObjectMeta().
			WithNamespace(object.GetNamespace()).WithName(object.GetName()).WithUID(object.GetUID()),
		Status: content,
	}
	if err := r.Client.Status().Apply(ctx, patch, client.ForceOwnership, client.FieldOwner(fieldOwner)); err != nil {
		return "", gone(fmt.Errorf("write status of %s %s/%s: %w", kind.Kind, object.GetNamespace(), object.GetName(), err))
	}
	statusWrites.WithLabelValues(kind.Kind).Inc()
	if patch.ResourceVersion != nil {
		version = *patch.ResourceVersion
	}
	return version, nil
}

// gone drops the error of an object that was deleted in the meantime: its next
// event brings the next pass. A conflict is no such case: whatever it came
// from, the status has to be written again.
func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
