// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// tracker follows all routes by one list and watch.
type tracker struct {
	stop context.CancelFunc

	mu     sync.Mutex
	store  cache.Store
	wanted *goal
}

// goal is a state that a number of routes must be in at the same time.
type goal struct {
	holds func(*callbackv1alpha1.CallbackRoute) bool
	want  int
	met   map[string]time.Time
	done  chan struct{}
}

func startTracker(r *run) *tracker {
	r.b.Helper()
	ctx, stop := context.WithCancel(r.ctx)
	t := &tracker{stop: stop}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list := &callbackv1alpha1.CallbackRouteList{}
			err := r.Client.List(ctx, list, &client.ListOptions{Raw: &o})
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return r.Client.Watch(ctx, &callbackv1alpha1.CallbackRouteList{}, &client.ListOptions{Raw: &o})
		},
	}
	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source,
		ObjectType:    &callbackv1alpha1.CallbackRoute{},
		Transform:     cache.TransformFunc(slim),
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    t.record,
			UpdateFunc: func(_, object any) { t.record(object) },
		},
	})
	t.store = store
	go controller.RunWithContext(ctx)
	r.Expect(cache.WaitForCacheSync(ctx.Done(), controller.HasSynced)).To(BeTrue())
	return t
}

// slim drops unused fields.
func slim(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

func (t *tracker) record(object any) {
	route, is := object.(*callbackv1alpha1.CallbackRoute)
	if !is {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wanted != nil {
		t.wanted.record(route)
	}
}

func (g *goal) record(route *callbackv1alpha1.CallbackRoute) {
	key := route.Namespace + "/" + route.Name
	if !g.holds(route) {
		delete(g.met, key)
		return
	}
	if _, known := g.met[key]; !known {
		g.met[key] = time.Now()
	}
	if len(g.met) == g.want {
		select {
		case <-g.done:
		default:
			close(g.done)
		}
	}
}

// expect begins to wait for a state of a number of routes. There is one goal
// at a time.
func (t *tracker) expect(want int, holds func(*callbackv1alpha1.CallbackRoute) bool) *goal {
	g := &goal{holds: holds, want: want, met: map[string]time.Time{}, done: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, object := range t.store.List() {
		g.record(object.(*callbackv1alpha1.CallbackRoute))
	}
	t.wanted = g
	return g
}

// wait returns when the goal was reached, and how many routes were there when
// it was not within the time.
func (t *tracker) wait(ctx context.Context, g *goal, most time.Duration) (time.Time, error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-g.done:
	case <-timer.C:
		t.mu.Lock()
		defer t.mu.Unlock()
		return time.Time{}, fmt.Errorf("%d of %d routes after %s", len(g.met), g.want, most)
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var last time.Time
	for _, at := range g.met {
		if at.After(last) {
			last = at
		}
	}
	return last, nil
}

// isProgrammed reports whether the present generation of a route is served.
func isProgrammed(route *callbackv1alpha1.CallbackRoute) bool {
	c := meta.FindStatusCondition(route.Status.Conditions, callbackv1alpha1.ConditionProgrammed)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == route.Generation
}

// hasEnded reports whether a status has the sunset, and Ready its reason.
func hasEnded(route *callbackv1alpha1.CallbackRoute) bool {
	passed := meta.FindStatusCondition(route.Status.Conditions, callbackv1alpha1.ConditionSunsetPassed)
	ready := meta.FindStatusCondition(route.Status.Conditions, callbackv1alpha1.ConditionReady)
	return passed != nil && passed.Status == metav1.ConditionTrue && ready != nil &&
		ready.Status == metav1.ConditionTrue && ready.Reason == callbackv1alpha1.ReasonSunsetPassed
}
