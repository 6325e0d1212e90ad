// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// removable are those that are deleted when they are not wanted any more, what
// serves first. A RoleBinding is not: the operator may not delete any.
var removable = []schema.GroupVersionKind{kube.KindDeployment, kube.KindService, kube.KindBudget, kube.KindNetworkPolicy, kube.KindServiceAccount}

const (
	// recheck is how long after a refusal the same is tried again, and a name
	// that is taken looked at again.
	recheck = 10 * time.Second
	// cacheLag is how late a cache may be.
	cacheLag = 30 * time.Second
	// maxRefusalBytes bounds what is repeated of the API server's words.
	maxRefusalBytes = 512
)

// wanted is an object as it is to be.
type wanted struct {
	*unstructured.Unstructured
	kind string
	hash [sha256.Size]byte
}

func newWanted(object *unstructured.Unstructured) (wanted, error) {
	data, err := object.MarshalJSON()
	if err != nil {
		return wanted{}, fmt.Errorf("encode %s: %w", object.GetKind(), err)
	}
	return wanted{Unstructured: object, kind: object.GetKind(), hash: sha256.Sum256(data)}, nil
}

func (w *wanted) String() string { return w.kind + " " + w.GetName() }

// part is what is known of one object of a fleet.
type part struct {
	// hash is of what was wanted when it was looked at last.
	hash [sha256.Size]byte
	// uid, generation and version are the object's after our last apply.
	uid        types.UID
	generation int64
	version    string
	applied    time.Time
	// isTaken says that the object is somebody else's, refused what the API
	// server said; then again is when to look again.
	isTaken bool
	refused string
	again   time.Time
}

// holds says whether an object is as it was after our last apply, which wanted
// the same. Where there is a generation it tells a change from a status; that
// others added a label or took one of ours is looked at beside it. A cache that
// is late shows an older version, which says nothing for a while; after that
// somebody restored a backup.
func (p *part) holds(live client.Object, w *wanted, now time.Time) bool {
	if p.hash != w.hash || p.uid != live.GetUID() {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(live.GetResourceVersion(), p.version)
	switch {
	case err != nil:
		return live.GetResourceVersion() == p.version
	case order == 0:
		return true
	case order < 0:
		return now.Before(p.applied.Add(cacheLag))
	case p.generation == 0:
		return false
	}
	labels := live.GetLabels()
	for key, value := range w.GetLabels() {
		if labels[key] != value {
			return false
		}
	}
	return live.GetGeneration() == p.generation
}

// ensure makes one object what is wanted, unless it is, or is somebody else's.
func (d *Deployer) ensure(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, w *wanted, before part, now time.Time) (part, error) {
	if before.hash == w.hash && now.Before(before.again) {
		return before, nil
	}
	withdrawn := proxy.Spec.Mode == ""
	readers := []client.Reader{d.client, d.live}
	if withdrawn {
		readers = readers[:1] // what is ours has a label
	}
	live, err := lookUp(ctx, w, readers)
	switch {
	case err != nil:
		return before, err
	case withdrawn && (live == nil || !isOwn(live, proxy.UID)):
		return part{hash: w.hash}, nil
	case live != nil && !isOwn(live, proxy.UID):
		return part{hash: w.hash, isTaken: true, again: now.Add(recheck)}, nil
	case live != nil && !live.GetDeletionTimestamp().IsZero():
		return part{}, nil // once it is gone it is made again
	case live != nil && before.holds(live, w, now):
		before.again = time.Time{}
		return before, nil
	}
	return d.apply(ctx, w, live, before, now)
}

// apply writes one object. Where there was none it is not forced, and taken back
// if somebody made one since we looked: that stays theirs. Where there was one of
// ours it names that very object.
func (d *Deployer) apply(ctx context.Context, w *wanted, live client.Object, before part, now time.Time) (part, error) {
	object := w.DeepCopy()
	options := []client.ApplyOption{client.FieldOwner(fieldOwner), client.DisableReadYourWritesConsistency}
	if live != nil {
		object.SetUID(live.GetUID())
		options = append(options, client.ForceOwnership)
	}
	if err := keepReplicas(object, live); err != nil {
		return before, err
	}
	err := d.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
	var status apierrors.APIStatus
	switch {
	case err == nil && live == nil && isShared(object):
		before.again = now
		return before, d.takeBack(ctx, object)
	case err == nil:
		ctrl.LoggerFrom(ctx).V(1).Info("object is applied", "kind", w.kind, "name", w.GetName())
		return part{
			hash: w.hash, uid: object.GetUID(), generation: object.GetGeneration(), version: object.GetResourceVersion(), applied: now,
		}, nil
	case apierrors.IsConflict(err):
		// Somebody wrote since we looked.
		before.again = now
		return before, nil
	case mayPass(err), !errors.As(err, &status):
		return before, err
	}
	return part{hash: w.hash, refused: clip(status.Status().Message, maxRefusalBytes), again: now.Add(recheck)}, nil
}

// isShared says whether others made an object before we applied to it: what we
// made has no other fields than ours. An object without any field of its maker
// cannot be told from ours.
func isShared(applied client.Object) bool {
	return slices.ContainsFunc(applied.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool { return m.Manager != fieldOwner })
}

// takeBack removes from somebody's object every field that we added.
func (d *Deployer) takeBack(ctx context.Context, object *unstructured.Unstructured) error {
	nothing := &unstructured.Unstructured{Object: map[string]any{}}
	nothing.SetGroupVersionKind(object.GroupVersionKind())
	nothing.SetNamespace(object.GetNamespace())
	nothing.SetName(object.GetName())
	nothing.SetUID(object.GetUID())
	err := d.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(nothing),
		client.FieldOwner(fieldOwner), client.ForceOwnership, client.DisableReadYourWritesConsistency)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("take back what somebody made meanwhile: %w", err)
	}
	return nil
}

// keepReplicas repeats what a HorizontalPodAutoscaler decided, where nothing is
// said about replicas: what was said before would otherwise be taken back, and
// the default of one come up. It holds only for the version it was read from.
func keepReplicas(object *unstructured.Unstructured, live client.Object) error {
	running, is := live.(*appsv1.Deployment)
	if !is || running.Spec.Replicas == nil {
		return nil
	}
	if _, said, _ := unstructured.NestedFieldNoCopy(object.Object, "spec", "replicas"); said {
		return nil
	}
	object.SetResourceVersion(running.ResourceVersion)
	return unstructured.SetNestedField(object.Object, int64(*running.Spec.Replicas), "spec", "replicas")
}

// mayPass says whether an error is no answer to what was asked.
func mayPass(err error) bool {
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsUnauthorized(err)
}

// lookUp looks for an object in the cache, and where that has none, as it knows
// labelled ones only, at the API server; nil when there is none.
func lookUp(ctx context.Context, w *wanted, readers []client.Reader) (client.Object, error) {
	key := client.ObjectKeyFromObject(w)
	for _, reader := range readers {
		object := kube.NewOwned(w.GroupVersionKind())
		err := reader.Get(ctx, key, object)
		if err == nil {
			return object, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("get it: %w", err)
		}
	}
	return nil, nil //nolint:nilnil // that there is none is an answer
}

// remove deletes an object that the operator made.
func (d *Deployer) remove(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, kind schema.GroupVersionKind) error {
	object := kube.NewOwned(kind)
	err := d.client.Get(ctx, types.NamespacedName{Namespace: proxy.Namespace, Name: workload.Name(proxy.Name)}, object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get it: %w", err)
	}
	if !isOwn(object, proxy.UID) || object.GetLabels()[callbackv1alpha1.ProxyLabel] != proxy.Name || !object.GetDeletionTimestamp().IsZero() {
		return nil
	}
	uid := object.GetUID()
	if err := d.client.Delete(ctx, object, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("object is deleted: the CallbackProxy does not want it any more", "kind", kind.Kind, "name", object.GetName())
	return nil
}

// isOwn says whether an object is controlled by the CallbackProxy with a UID.
func isOwn(object client.Object, uid types.UID) bool {
	owner := metav1.GetControllerOfNoCopy(object)
	return owner != nil && owner.UID == uid && owner.Kind == "CallbackProxy"
}

// clip shortens text without leaving half a character behind.
func clip(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }
