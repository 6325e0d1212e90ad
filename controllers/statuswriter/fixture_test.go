// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// fixture_test.go has a writer on an API server in memory and its desired statuses.

// fixture is a Writer, and the objects that it writes to.
type fixture struct {
	client.Client
	*WithT
	ctx    context.Context
	clock  *clocktesting.FakePassiveClock
	writer *Writer

	mu      sync.Mutex
	objects map[types.NamespacedName]*kube.Route
	written []string // names, in their order
	events  []transition
	refuse  error
	// applying is called at the begin of a write.
	applying func()
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		WithT: NewWithT(t), ctx: t.Context(), clock: clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0)),
		objects: map[types.NamespacedName]*kube.Route{},
	}
	f.writer = New(f, f, f.clock)
	return f
}

func (f *fixture) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	stored := f.objects[key]
	if stored == nil {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	stored.DeepCopyInto(object.(*kube.Route))
	return nil
}

func (f *fixture) Status() client.SubResourceWriter { return &statusClient{f: f} }

type statusClient struct {
	client.SubResourceWriter
	f *fixture
}

// Apply stores a status, as the API server does.
func (s *statusClient) Apply(_ context.Context, object runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
	patch := object.(*statusPatch)
	if s.f.applying != nil {
		s.f.applying()
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	key := types.NamespacedName{Namespace: *patch.Namespace, Name: *patch.Name}
	s.f.written = append(s.f.written, key.Name)
	if s.f.refuse != nil {
		return s.f.refuse
	}
	stored := s.f.objects[key]
	stored.Status = callbackv1alpha1.CallbackRouteStatus{}
	return json.Unmarshal(patch.Status, &stored.Status)
}

func (f *fixture) record(_ client.Object, _ string, t transition) { f.events = append(f.events, t) }

// route creates a route, with a status that makes it ready.
func (f *fixture) route(namespace, name string) *kube.Route {
	route := &kube.Route{}
	route.Namespace, route.Name, route.UID, route.Generation = namespace, name, types.UID(namespace+name), 1
	route.Status = desired()
	f.objects[client.ObjectKeyFromObject(route)] = route
	return route
}

type change func(*callbackv1alpha1.CallbackRouteStatus)

// desired returns a status of a ready route, with changes.
func desired(changes ...change) callbackv1alpha1.CallbackRouteStatus {
	transition := metav1.Unix(1_700_000_000, 0)
	s := callbackv1alpha1.CallbackRouteStatus{
		ObservedGeneration: 1,
		Backends:           []callbackv1alpha1.BackendStatus{{Name: "blue", Health: callbackv1alpha1.HealthHealthy}},
		Conditions: []metav1.Condition{
			{Type: "Programmed", Status: "True", Reason: "Programmed", ObservedGeneration: 1, LastTransitionTime: transition},
			{Type: "BackendsHealthy", Status: "True", Reason: "BackendsHealthy", ObservedGeneration: 1, LastTransitionTime: transition},
		},
	}
	for _, c := range changes {
		c(&s)
	}
	return s
}

func generation(n int64) change {
	return func(s *callbackv1alpha1.CallbackRouteStatus) {
		s.ObservedGeneration = n
		for i := range s.Conditions {
			s.Conditions[i].ObservedGeneration = n
		}
	}
}

func callbacks(n int64) change {
	return func(s *callbackv1alpha1.CallbackRouteStatus) { s.Backends[0].Callbacks = &n }
}

func health(h callbackv1alpha1.Health) change {
	return func(s *callbackv1alpha1.CallbackRouteStatus) {
		s.Backends[0].Health = h
		c := &s.Conditions[1]
		switch h {
		case callbackv1alpha1.HealthUnhealthy:
			c.Status, c.Reason = "False", "BackendUnhealthy"
		case callbackv1alpha1.HealthUnknown:
			c.Status, c.Reason = "Unknown", "NotMeasured"
		case callbackv1alpha1.HealthHealthy:
		}
	}
}

func pending(s *callbackv1alpha1.CallbackRouteStatus) {
	s.Conditions[0].Status, s.Conditions[0].Reason = "False", "Pending"
}

// enqueue sets the desired status of a route, as a pass does.
func (f *fixture) enqueue(route *kube.Route, changes ...change) {
	stored := f.objects[client.ObjectKeyFromObject(route)].DeepCopyObject().(*kube.Route)
	s := desired(changes...)
	f.writer.EnqueueRoute(&stored.CallbackRoute, &s, func(*callbackv1alpha1.CallbackRoute) callbackv1alpha1.CallbackRouteStatus {
		return *s.DeepCopy()
	})
}

// flush reconciles each object once, as the workers do. It returns how many
// statuses were written, and how long the next one has to wait.
func (f *fixture) flush() (written int, wait time.Duration) {
	before := len(f.written)
	for _, key := range slices.Collect(maps.Keys(f.writer.objects)) {
		result, err := f.writer.Reconcile(f.ctx, key)
		f.Expect(err).NotTo(HaveOccurred())
		if wait == 0 || result.RequeueAfter > 0 && result.RequeueAfter < wait {
			wait = result.RequeueAfter
		}
	}
	return len(f.written) - before, wait
}

func (f *fixture) expectWrites(n int, why string) {
	written, _ := f.flush()
	f.ExpectWithOffset(1, written).To(Equal(n), why)
}

func (f *fixture) lives(d time.Duration) { f.clock.SetTime(f.clock.Now().Add(d)) }
