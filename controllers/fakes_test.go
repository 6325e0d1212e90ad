// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/statuswriter"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// fakes_test.go has the instances, events and write counts of a spec.

// acknowledging is a fleet in which every instance runs what is stored.
type acknowledging struct {
	client client.Client
	key    types.NamespacedName
	silent bool
	refuse string
	// targets and uses are what the instances observe and counted.
	targets []routetable.TargetReport
	uses    []routetable.RouteUse
	suspect bool
	// forwarding is what their callbacks claim.
	forwarding routetable.ForwardingUse
}

func (a *acknowledging) Report(ctx context.Context, _, _ string) (*routetable.Report, error) {
	if a.silent {
		return nil, errors.New("request report: no response")
	}
	index := &callbackv1alpha1.CallbackProxyConfig{}
	if err := a.client.Get(ctx, a.key, index); err != nil {
		return nil, err
	}
	version := routetable.Version{Epoch: index.Spec.Epoch, Generation: index.Spec.Generation}
	report := &routetable.Report{Version: version, Hash: index.Spec.Hash, ListenerPort: 8080, Boot: "boot", ClockSuspect: a.suspect}
	if a.refuse != "" {
		report = &routetable.Report{ListenerPort: 8080, Boot: "boot", Refused: &routetable.Refusal{
			Version: version, Hash: index.Spec.Hash, Reason: routetable.RefusedInvalid, Message: a.refuse,
		}}
	}
	report.Forwarding = a.forwarding
	report.Full, report.Targets, report.Routes = true, slices.Clone(a.targets), slices.Clone(a.uses)
	return report, nil
}

// recordedEvents keeps the events of a spec.
type recordedEvents struct {
	client.Writer
	recorder *statuswriter.Recorder
	events   []string
}

// Create takes an event in place of the API server.
func (r *recordedEvents) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	event, is := object.(*corev1.Event)
	if !is {
		return fmt.Errorf("%T is no event", object)
	}
	about := &event.InvolvedObject
	r.events = append(r.events, fmt.Sprintf("%s %s %s %s/%s: %s", event.Type, event.Reason, event.Action, about.Kind, about.Name, event.Message))
	return nil
}

// take returns the events since the last call.
func (r *recordedEvents) take() []string {
	ended, end := context.WithCancel(context.Background())
	end()
	_ = r.recorder.Start(ended) // writes those that wait
	events := r.events
	r.events = nil
	return events
}

// writeCounter counts what reaches the API server as a write.
type writeCounter struct {
	mu    sync.Mutex
	verbs []string
}

func (c *writeCounter) count(verb string, object any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verbs = append(c.verbs, fmt.Sprintf("%s %T", verb, object))
}

func (c *writeCounter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	verbs := c.verbs
	c.verbs = nil
	return verbs
}

func (c *writeCounter) funcs() interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			c.count("create", object)
			return inner.Create(ctx, object, opts...)
		},
		Update: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.UpdateOption) error {
			c.count("update", object)
			return inner.Update(ctx, object, opts...)
		},
		Patch: func(ctx context.Context, inner client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			c.count("patch", object)
			return inner.Patch(ctx, object, patch, opts...)
		},
		Delete: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			c.count("delete", object)
			return inner.Delete(ctx, object, opts...)
		},
		Apply: func(ctx context.Context, inner client.WithWatch, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			kind := "object"
			if named, is := object.(interface{ GetKind() string }); is {
				kind = named.GetKind()
			}
			c.count("apply "+kind, object)
			return inner.Apply(ctx, object, opts...)
		},
		SubResourcePatch: func(ctx context.Context, inner client.Client, sub string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			c.count("patch "+sub, object)
			return inner.SubResource(sub).Patch(ctx, object, patch, opts...)
		},
		SubResourceApply: func(ctx context.Context, inner client.Client, sub string, object runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			name := ""
			if named, is := object.(interface{ GetName() *string }); is {
				name = " of " + *named.GetName()
			}
			c.count("apply "+sub+name, object)
			return inner.SubResource(sub).Apply(ctx, object, opts...)
		},
	}
}

// fleetIn sets the mode of the test's CallbackProxy.
func (w *world) fleetIn(mode callbackv1alpha1.ProxyMode, change ...func(*callbackv1alpha1.CallbackProxySpec)) {
	w.t.Helper()
	stored := &kube.Proxy{CallbackProxy: *w.liveProxy()}
	stored.Spec.Mode = mode
	for _, f := range change {
		f(&stored.Spec)
	}
	w.Expect(w.client.Update(w.ctx, stored)).To(Succeed())
}
