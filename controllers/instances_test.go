// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// A ready pod that cannot be polled counts as unreachable, not as one that runs
// the published config.
func TestReconcile_AReadyPodWithoutAnAdminPort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	w.Expect(w.condition("acme", "Programmed").Status).To(BeEquivalentTo("True"))
	_, err := fixture.RunningPod(w.ctx, w.client, fixture.Pod{
		Namespace: w.platform, Name: "edge-2", Labels: map[string]string{"callbackproxy.io/proxy": "edge"}, IP: "127.0.0.10",
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 9090}},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.settle()
	c := find(w.liveProxy().Status.Conditions, "Programmed")
	w.Expect(c.Status).To(BeEquivalentTo("False"))
	w.Expect(c.Message).To(HaveSuffix("edge-2 (unreachable)"))
	w.Expect(w.liveProxy().Status.Instances).To(HaveLen(2))
}
