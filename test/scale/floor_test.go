// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// floor measures the API server alone: the lower bound for every controller.
func (r *run) floor() {
	r.b.Helper()
	var took time.Duration
	r.lapse.begin()
	_, took = r.createAll()
	r.report("bare creation", seconds(took))
	r.lapse.end("bare creation")
	r.compareWrites()
	r.timeEach("one event", r.eventCreated)
	r.timeEach("spec by merge patch", func(ctx context.Context, p place) error {
		return r.Client.Patch(ctx, named(p), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"owner":"another-team@acme.test"}}`)))
	})
}

// rounds of statuses are written by compareWrites. The first adds every field, and
// the others change some.
const rounds = 6

// compareWrites reports the CPU time that each way to write a status costs the API
// server. Each way has a third of the routes, so that the managed fields of a
// route are those of one way. The ways take turns, in an order that rotates, so
// that what disturbs the machine disturbs all of them.
func (r *run) compareWrites() {
	r.b.Helper()
	ways := []struct {
		name   string
		write  func(round int) func(context.Context, place) error
		first  time.Duration
		others []time.Duration
	}{
		{name: "server-side apply", write: r.statusApplied}, {name: "merge patch", write: r.statusPatched}, {name: "update", write: r.statusUpdated},
	}
	for round := range rounds {
		for turn := range ways {
			third := (turn + round) % len(ways)
			way := &ways[third]
			write, before := way.write(round), r.lapse.cpuNow()["kube-apiserver"]
			r.Expect(r.each(func(ctx context.Context, p place) error {
				if p.number%len(ways) != third {
					return nil
				}
				return write(ctx, p)
			})).To(Succeed(), way.name)
			cost := r.lapse.cpuNow()["kube-apiserver"] - before
			if round == 0 {
				way.first = cost
			} else {
				way.others = append(way.others, cost)
			}
		}
	}
	for _, way := range ways {
		var sum time.Duration
		for _, cost := range way.others {
			sum += cost
		}
		r.report("CPU s of the API server, status by "+way.name, fmt.Sprintf("first %s, then %s in %d rounds: %v",
			seconds(way.first), seconds(sum), len(way.others), way.others))
	}
}

// timeEach reports how long an action takes for all routes.
func (r *run) timeEach(name string, do func(context.Context, place) error) {
	r.b.Helper()
	r.lapse.begin()
	began := time.Now()
	r.Expect(r.each(do)).To(Succeed(), name)
	r.report(name, seconds(time.Since(began)))
	r.lapse.end(name)
}

func named(p place) *callbackv1alpha1.CallbackRoute {
	route := &callbackv1alpha1.CallbackRoute{}
	route.Namespace, route.Name = tenant(p.tenant), p.name()
	return route
}

// statusOfSize is a status with the fields and the length of the manager's. A
// round changes one condition and the counters, as health and traffic do.
func statusOfSize(round int) callbackv1alpha1.CallbackRouteStatus {
	began, now, count, pods := metav1.Unix(1_790_000_000, 0), metav1.Unix(1_790_000_030+int64(round), 0), int64(round), int32(1)
	status := callbackv1alpha1.CallbackRouteStatus{
		ObservedGeneration: 1, PrimaryBackend: colours[0],
		Traffic:   &callbackv1alpha1.Traffic{LastCallbackTime: &now, Callbacks: &count},
		Instances: &callbackv1alpha1.InstanceCounts{Total: &pods, Ready: &pods, Programmed: &pods},
	}
	for _, name := range colours {
		status.Backends = append(status.Backends, callbackv1alpha1.BackendStatus{
			Name: name, Health: callbackv1alpha1.HealthHealthy, Callbacks: &count, LastCallbackTime: &now,
		})
	}
	for kind, message := range map[string]string{
		callbackv1alpha1.ConditionAccepted:        "the route may be served by CallbackProxy callback-system/edge-00",
		callbackv1alpha1.ConditionResolvedRefs:    "every backend exists and may be used",
		callbackv1alpha1.ConditionProgrammed:      "every ready instance runs this generation: callbacks go to backend blue",
		callbackv1alpha1.ConditionBackendsHealthy: fmt.Sprintf("every backend is healthy (%d)", round),
		callbackv1alpha1.ConditionReady:           "callbacks are served as declared",
	} {
		status.Conditions = append(status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: kind, ObservedGeneration: 1, LastTransitionTime: began, Message: message,
		})
	}
	slices.SortFunc(status.Conditions, func(a, b metav1.Condition) int { return strings.Compare(a.Type, b.Type) })
	return status
}

// statusPatch applies a status and nothing else, as the manager does.
type statusPatch struct {
	metav1ac.TypeMetaApplyConfiguration
	*metav1ac.ObjectMetaApplyConfiguration `json:"metadata,omitempty"`

	Status json.RawMessage `json:"status"`
}

// IsApplyConfiguration marks the type as an apply configuration.
func (*statusPatch) IsApplyConfiguration() {}

func (r *run) statusApplied(round int) func(context.Context, place) error {
	return func(ctx context.Context, p place) error {
		content, err := json.Marshal(statusOfSize(round))
		if err != nil {
			return err
		}
		patch := &statusPatch{
			TypeMetaApplyConfiguration:   *metav1ac.TypeMeta().WithAPIVersion(callbackv1alpha1.SchemeGroupVersion.String()).WithKind("CallbackRoute"),
			ObjectMetaApplyConfiguration: metav1ac.ObjectMeta().WithNamespace(tenant(p.tenant)).WithName(p.name()),
			Status:                       content,
		}
		return r.Client.Status().Apply(ctx, patch, client.ForceOwnership, client.FieldOwner("bench"))
	}
}

// statusPatched replaces a status of which the cache has the resourceVersion.
func (r *run) statusPatched(round int) func(context.Context, place) error {
	return func(ctx context.Context, p place) error {
		return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			route, err := r.cached(p)
			if err != nil {
				return err
			}
			content, err := json.Marshal(map[string]any{
				"metadata": map[string]any{"resourceVersion": route.ResourceVersion}, "status": statusOfSize(round),
			})
			if err != nil {
				return err
			}
			return r.Client.Status().Patch(ctx, route, client.RawPatch(types.MergePatchType, content), client.FieldOwner("bench"))
		})
	}
}

// cached returns a copy of a route as a controller's cache holds it.
func (r *run) cached(p place) (*callbackv1alpha1.CallbackRoute, error) {
	object, found, err := r.tracker.store.GetByKey(tenant(p.tenant) + "/" + p.name())
	if err != nil || !found {
		return nil, fmt.Errorf("find route %s: %w", p.name(), err)
	}
	return object.(*callbackv1alpha1.CallbackRoute).DeepCopy(), nil
}

// statusUpdated writes whole objects, as a controller has them in its cache.
func (r *run) statusUpdated(round int) func(context.Context, place) error {
	return func(ctx context.Context, p place) error {
		return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			route, err := r.cached(p)
			if err != nil {
				return err
			}
			route.Status = statusOfSize(round)
			return r.Client.Status().Update(ctx, route, client.FieldOwner("bench"))
		})
	}
}

func (r *run) eventCreated(ctx context.Context, p place) error {
	return r.Client.Create(ctx, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenant(p.tenant), Name: p.name()},
		EventTime:  metav1.NowMicro(), ReportingController: "bench", ReportingInstance: "bench-0",
		Action: "Programmed", Reason: "Programmed", Type: "Normal",
		Regarding: corev1.ObjectReference{Kind: "CallbackRoute", Namespace: tenant(p.tenant), Name: p.name()},
		Note:      "every ready instance runs this generation: callbacks go to backend blue",
	})
}
