// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// Deployer makes what runs the fleets whose CallbackProxies have a mode, keeps
// it as declared, and takes it away when the mode is. What is not the
// CallbackProxy's own by its controller reference is never written to.
type Deployer struct {
	// client reads from a cache that may be late and holds labelled objects
	// only; live reads what the API server has.
	client   client.Client
	live     client.Reader
	settings Settings

	mu     sync.Mutex
	fleets map[types.NamespacedName]*deployment
}

// deployment is what is known of the objects of one fleet.
type deployment struct {
	uid  types.UID
	mode callbackv1alpha1.ProxyMode
	// clean says that nothing is left of what the mode does not want.
	clean bool
	// wanted is what the mode wants, as of this generation and this many
	// replicas, or however many a HorizontalPodAutoscaler wants.
	wanted     []wanted
	generation int64
	replicas   int32
	scaled     bool
	// parts are the objects that were looked at, by kind.
	parts map[string]part
}

// NewDeployer returns a Deployer that looks into the cache of a client first,
// and then at what is there.
func NewDeployer(c client.Client, live client.Reader, settings Settings) *Deployer {
	slices.Sort(settings.ProxyNamespaces)
	return &Deployer{client: c, live: live, settings: settings, fleets: map[types.NamespacedName]*deployment{}}
}

// Forget drops what is known of a fleet that is gone; its objects go with
// their owner.
func (d *Deployer) Forget(key types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.fleets, key)
}

// Deploy brings the objects of a fleet to what its CallbackProxy declares, and
// writes nothing when they are. It returns what came of it and when to look
// again; zero: when something changes. An error is one that may pass: what was
// done stays, and what is not done is for the next call. One call per fleet at
// a time.
func (d *Deployer) Deploy(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, now time.Time) (status.Deployed, time.Time, error) {
	f := d.fleet(proxy)
	managed := d.settings.Manages(proxy.Namespace)
	if proxy.Spec.Mode == callbackv1alpha1.ModeDeployment {
		switch {
		case !managed:
			return status.Deployed{Unmanaged: true, Managed: d.settings.ProxyNamespaces}, time.Time{}, nil
		case d.settings.Proxies.Image == "":
			return status.Deployed{NoImage: true}, time.Time{}, nil
		}
	} else if f.clean && proxy.Spec.Mode == "" {
		return status.Deployed{}, time.Time{}, nil
	}
	if err := d.want(ctx, proxy, f); err != nil {
		return status.Deployed{}, time.Time{}, err
	}
	failed := d.ensureAll(ctx, proxy, f, now)
	if !f.clean && managed {
		failed = errors.Join(failed, d.removeOthers(ctx, proxy, f))
	}
	// Of a Deployment the budget comes and goes.
	f.clean = failed == nil && proxy.Spec.Mode != callbackv1alpha1.ModeDeployment
	deployed, next := f.verdict()
	return deployed, next, failed
}

// fleet returns what is known of a fleet, nothing when it is another one of the
// same name.
func (d *Deployer) fleet(proxy *callbackv1alpha1.CallbackProxy) *deployment {
	key := client.ObjectKeyFromObject(proxy)
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.fleets[key]
	if f == nil || f.uid != proxy.UID {
		f = &deployment{uid: proxy.UID, parts: map[string]part{}}
		d.fleets[key] = f
	}
	if f.mode != proxy.Spec.Mode {
		f.mode, f.clean, f.wanted = proxy.Spec.Mode, false, nil
	}
	return f
}

// want decides what the fleet is made of.
func (d *Deployer) want(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, f *deployment) error {
	replicas, scaled := workload.Replicas(proxy), false
	if proxy.Spec.Mode == callbackv1alpha1.ModeDeployment {
		var err error
		if replicas, scaled, err = d.replicas(ctx, proxy); err != nil {
			return err
		}
	}
	if f.wanted != nil && f.generation == proxy.Generation && f.replicas == replicas && f.scaled == scaled {
		return nil
	}
	objects, err := d.objects(proxy, replicas)
	if err != nil {
		return fmt.Errorf("make objects of CallbackProxy %s/%s: %w", proxy.Namespace, proxy.Name, err)
	}
	f.generation, f.replicas, f.scaled = proxy.Generation, replicas, scaled
	f.wanted = make([]wanted, 0, len(objects))
	for _, object := range objects {
		if scaled { // only the Deployment has that field
			unstructured.RemoveNestedField(object.Object, "spec", "replicas")
		}
		w, err := newWanted(object)
		if err != nil {
			return err
		}
		f.wanted = append(f.wanted, w)
	}
	return nil
}

func (d *Deployer) objects(proxy *callbackv1alpha1.CallbackProxy, replicas int32) ([]*unstructured.Unstructured, error) {
	if proxy.Spec.Mode == callbackv1alpha1.ModeDeployment {
		return workload.Objects(proxy, d.settings.Proxies, replicas)
	}
	binding, err := workload.RoleBinding(proxy, d.settings.Proxies)
	return []*unstructured.Unstructured{binding}, err
}

// replicas returns how many proxies there are to be. While a
// HorizontalPodAutoscaler targets the Deployment that is how many there are,
// and scaled says so.
func (d *Deployer) replicas(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy) (replicas int32, scaled bool, err error) {
	declared := workload.Replicas(proxy)
	name := workload.Name(proxy.Name)
	var scalers autoscalingv2.HorizontalPodAutoscalerList
	if err := d.client.List(ctx, &scalers, client.InNamespace(proxy.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return 0, false, fmt.Errorf("list HorizontalPodAutoscalers: %w", err)
	}
	if !slices.ContainsFunc(scalers.Items, func(h autoscalingv2.HorizontalPodAutoscaler) bool {
		return h.Spec.ScaleTargetRef.Kind == "Deployment" && h.Spec.ScaleTargetRef.Name == name
	}) {
		return declared, false, nil
	}
	live := &appsv1.Deployment{}
	if err := client.IgnoreNotFound(d.client.Get(ctx, types.NamespacedName{Namespace: proxy.Namespace, Name: name}, live)); err != nil {
		return 0, false, fmt.Errorf("get Deployment %s: %w", name, err)
	}
	if live.Spec.Replicas == nil || !isOwn(live, proxy.UID) {
		return declared, true, nil // none is there yet
	}
	return *live.Spec.Replicas, true, nil
}

// ensureAll ensures each wanted object. One that cannot be made does not keep
// the others from it.
func (d *Deployer) ensureAll(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, f *deployment, now time.Time) error {
	var failed []error
	for i := range f.wanted {
		w := &f.wanted[i]
		after, err := d.ensure(ctx, proxy, w, f.parts[w.kind], now)
		if err != nil {
			failed = append(failed, fmt.Errorf("make %s: %w", w.String(), err))
		}
		f.parts[w.kind] = after
	}
	return errors.Join(failed...)
}

// removeOthers deletes what the mode does not want of what the operator made.
func (d *Deployer) removeOthers(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, f *deployment) error {
	var failed []error
	for _, kind := range removable {
		if slices.ContainsFunc(f.wanted, func(w wanted) bool { return w.kind == kind.Kind }) {
			continue
		}
		delete(f.parts, kind.Kind)
		if err := d.remove(ctx, proxy, kind); err != nil {
			failed = append(failed, fmt.Errorf("delete %s %s: %w", kind.Kind, workload.Name(proxy.Name), err))
		}
	}
	return errors.Join(failed...)
}

// verdict tells what stands in the way, in the order in which things are made.
func (f *deployment) verdict() (deployed status.Deployed, next time.Time) {
	for i := range f.wanted {
		w := &f.wanted[i]
		p := f.parts[w.kind]
		next = compile.Earlier(next, p.again)
		switch {
		case p.isTaken:
			deployed.Taken = append(deployed.Taken, w.String())
		case p.refused != "":
			deployed.Refused = append(deployed.Refused, status.RefusedObject{Object: w.String(), Message: p.refused})
		}
	}
	return deployed, next
}
