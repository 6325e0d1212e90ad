// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"context"
	"encoding/json"
	"fmt"
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

// floor measures the API server alone: the lower bound for every controller. Each
// kind of status write starts from routes that have none.
func (r *run) floor() {
	r.b.Helper()
	var took time.Duration
	r.lapse.begin()
	_, took = r.createAll()
	r.report("bare creation", seconds(took))
	r.lapse.end("bare creation")
	r.timeEach("status by server-side apply, first", r.statusApplied(1))
	r.timeEach("status by server-side apply, second", r.statusApplied(2))
	r.renew()
	r.timeEach("status by merge patch, first", r.statusPatched(1))
	r.timeEach("status by merge patch, second", r.statusPatched(2))
	r.renew()
	r.timeEach("status by update, first", r.statusUpdated(1))
	r.timeEach("status by update, second", r.statusUpdated(2))
	r.timeEach("one event", r.eventCreated)
	r.timeEach("spec by merge patch", func(ctx context.Context, p place) error {
		return r.Client.Patch(ctx, named(p), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"owner":"another-team@acme.test"}}`)))
	})
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

// renew replaces all routes by new ones without a status.
func (r *run) renew() {
	r.b.Helper()
	r.Expect(r.each(func(ctx context.Context, p place) error { return r.Client.Delete(ctx, named(p)) })).To(Succeed())
	r.createAll()
}

func named(p place) *callbackv1alpha1.CallbackRoute {
	route := &callbackv1alpha1.CallbackRoute{}
	route.Namespace, route.Name = tenant(p.tenant), p.name()
	return route
}

// statusOfSize is a status of the same size as the manager's.
func statusOfSize(round int) callbackv1alpha1.CallbackRouteStatus {
	status := callbackv1alpha1.CallbackRouteStatus{ObservedGeneration: 1}
	for _, kind := range []string{
		callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs,
		callbackv1alpha1.ConditionProgrammed, callbackv1alpha1.ConditionReady,
	} {
		status.Conditions = append(status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: kind, ObservedGeneration: 1, LastTransitionTime: metav1.Now(),
			Message: fmt.Sprintf("every ready instance runs this generation (%d): callbacks go to backend blue", round),
		})
	}
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

func (r *run) statusPatched(round int) func(context.Context, place) error {
	return func(ctx context.Context, p place) error {
		content, err := json.Marshal(map[string]any{"status": statusOfSize(round)})
		if err != nil {
			return err
		}
		return r.Client.Status().Patch(ctx, named(p), client.RawPatch(types.MergePatchType, content), client.FieldOwner("bench"))
	}
}

// statusUpdated writes whole objects, as a controller has them in its cache.
func (r *run) statusUpdated(round int) func(context.Context, place) error {
	return func(ctx context.Context, p place) error {
		return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			object, found, err := r.tracker.store.GetByKey(tenant(p.tenant) + "/" + p.name())
			if err != nil || !found {
				return fmt.Errorf("find route %s: %w", p.name(), err)
			}
			route := object.(*callbackv1alpha1.CallbackRoute).DeepCopy()
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
