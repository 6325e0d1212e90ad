// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

// This file finds the pods of a fleet and where their reports are requested.

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Pod is one pod of a fleet.
type Pod struct {
	Name string
	UID  types.UID
	// Address is the IP:port of the admin port; empty for a pod without one.
	Address string
	// Ready is true for the instances of the status. Others are polled for what
	// they counted, as long as they respond.
	Ready bool
}

// listPods returns how many pods a fleet has that are meant to serve, and all
// that may have a report, by name: also those that are not ready, and those that
// terminate, which serve on for a while.
func listPods(ctx context.Context, reader client.Reader, fleet types.NamespacedName) (total int, pods []Pod, err error) {
	var list corev1.PodList
	err = reader.List(ctx, &list, client.InNamespace(fleet.Namespace),
		client.MatchingLabels{callbackv1alpha1.ProxyLabel: fleet.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return 0, nil, err
	}
	for i := range list.Items {
		pod := &list.Items[i]
		if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
			continue
		}
		stays := pod.DeletionTimestamp.IsZero()
		if stays {
			total++
		}
		pods = append(pods, Pod{Name: pod.Name, UID: pod.UID, Address: adminAddress(pod), Ready: stays && isReady(pod)})
	}
	slices.SortFunc(pods, func(a, b Pod) int { return cmp.Compare(a.Name, b.Name) })
	return total, pods, nil
}

// adminAddress returns the IP:port of a pod's admin port; empty without one.
func adminAddress(pod *corev1.Pod) string {
	port := adminPort(pod)
	addr, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || port == 0 {
		return ""
	}
	return netip.AddrPortFrom(addr, uint16(port)).String() //nolint:gosec // the API bounds ports
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// adminPort finds the container port named "admin", also of a native sidecar.
func adminPort(pod *corev1.Pod) int32 {
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, container := range containers {
			for _, port := range container.Ports {
				if port.Name == callbackv1alpha1.AdminPortName {
					return port.ContainerPort
				}
			}
		}
	}
	return 0
}
