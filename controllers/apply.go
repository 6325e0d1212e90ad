// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/callbackproxy/callback-operator/controllers/kube"
)

var statusWrites = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "callback_operator_status_writes_total",
	Help: "Statuses written, by kind.",
}, []string{"kind"})

func init() { metrics.Registry.MustRegister(statusWrites) }

// writeStatus writes one status and tells its news.
func (r *Reconciler) writeStatus(ctx context.Context, p *pendingStatus, again *atomic.Bool) error {
	uid := p.object.GetUID()
	r.pace.writes(uid)
	version, err := r.applyStatus(ctx, p)
	if apierrors.IsInvalid(err) {
		// What is stored of the object breaks a rule that is younger than it, and
		// so does whatever is added to it. Events still tell.
		if !p.isRefused {
			ctrl.LoggerFrom(ctx).Error(err, "a status cannot be stored: events tell of the object until it is applied anew",
				"kind", p.kind.Kind, "namespace", p.object.GetNamespace(), "name", p.object.GetName())
		}
		r.pace.refuse(p.object, p.status, p.change, r.pace.clock.Now())
		again.Store(true) // the next pass knows when it is tried again
		err = nil
	} else {
		if r.pace.wrote(uid, p.change, version, r.pace.clock.Now()) {
			again.Store(true)
		}
		if version == "" {
			return err
		}
	}
	r.emit(p.kind, p.object, p.before, p.after, p.news)
	return err
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
// when nothing was written, as when the object is gone.
func (r *Reconciler) applyStatus(ctx context.Context, p *pendingStatus) (version string, err error) {
	content, err := json.Marshal(p.status)
	if err != nil {
		return "", fmt.Errorf("encode status of %s: %w", p.kind.Kind, err)
	}
	patch := &statusPatch{
		TypeMetaApplyConfiguration: *metav1ac.TypeMeta().WithAPIVersion(p.kind.GroupVersion().String()).WithKind(p.kind.Kind),
		ObjectMetaApplyConfiguration: metav1ac.ObjectMeta().
			WithNamespace(p.object.GetNamespace()).WithName(p.object.GetName()).WithUID(p.object.GetUID()),
		Status: slices.Clone(content), // the answer is read into it
	}
	if err := r.Client.Status().Apply(ctx, patch, client.ForceOwnership, client.FieldOwner(fieldOwner)); err != nil {
		return "", gone(fmt.Errorf("write status of %s %s/%s: %w", p.kind.Kind, p.object.GetNamespace(), p.object.GetName(), err))
	}
	statusWrites.WithLabelValues(p.kind.Kind).Inc()
	if patch.ResourceVersion != nil {
		version = *patch.ResourceVersion
	}
	replaced, err := r.replaceStatus(ctx, p, patch.Status, content, version)
	return cmp.Or(replaced, version), err
}

// replaceStatus takes out of a status that was applied what somebody else put
// there: to apply leaves it, as it was never ours. It returns the resourceVersion
// that this gave the object; empty when there was nothing to take out.
func (r *Reconciler) replaceStatus(ctx context.Context, p *pendingStatus, stored, applied []byte, version string) (string, error) {
	if len(stored) <= len(applied) {
		// It holds all that was applied, in the same encoding, and so no more.
		return "", nil
	}
	is, err := withContent(stored, version)
	if err != nil {
		return "", fmt.Errorf("read status of %s %s/%s: %w", p.kind.Kind, p.object.GetNamespace(), p.object.GetName(), err)
	}
	ours, err := withContent(applied, version)
	if err != nil || !holdsMore(is.Object["status"], ours.Object["status"]) {
		return "", err
	}
	data, err := client.MergeFromWithOptions(is, client.MergeFromWithOptimisticLock{}).Data(ours)
	if err != nil {
		return "", fmt.Errorf("compare status of %s: %w", p.kind.Kind, err)
	}
	target := p.empty()
	if err := r.Client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, data), client.FieldOwner(fieldOwner)); err != nil {
		return "", gone(fmt.Errorf("replace status of %s %s/%s: %w", p.kind.Kind, p.object.GetNamespace(), p.object.GetName(), err))
	}
	statusWrites.WithLabelValues(p.kind.Kind).Inc()
	return target.GetResourceVersion(), nil
}

// empty returns an object of the same kind and name, into which any answer can
// be read.
func (p *pendingStatus) empty() client.Object {
	var object client.Object = &kube.Route{}
	if p.kind == kindProxy {
		object = &kube.Proxy{}
	}
	object.SetNamespace(p.object.GetNamespace())
	object.SetName(p.object.GetName())
	return object
}

// withContent returns an object with a status and a resourceVersion.
func withContent(status []byte, version string) (*unstructured.Unstructured, error) {
	content := map[string]any{}
	if err := json.Unmarshal(status, &content); err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	u.SetResourceVersion(version)
	return u, nil
}

// holdsMore says whether a stored value holds anything but what was applied, or
// in another order.
func holdsMore(stored, applied any) bool {
	switch is := stored.(type) {
	case map[string]any:
		ours, same := applied.(map[string]any)
		for key, value := range is {
			if expected, known := ours[key]; !same || !known || holdsMore(value, expected) {
				return true
			}
		}
		return false
	case []any:
		ours, same := applied.([]any)
		if !same || len(is) != len(ours) {
			return true
		}
		for i := range is {
			if holdsMore(is[i], ours[i]) {
				return true
			}
		}
		return false
	}
	return stored != applied
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
