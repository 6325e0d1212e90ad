// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// The manifests of `make build-installer` install with one kubectl apply,
// without Helm and without a second attempt.
func TestInstaller_InstallsWithKubectl(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	generate := exec.CommandContext(t.Context(), "go", "run", ".", "installer", "-registry", registry, "-tag", "v9", "-output", dir)
	generate.Dir = filepath.Join(root, "hack", "chart")
	out, err := generate.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))

	cp, err := fixture.StartControlPlane(t.Context(), fixture.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = cp.Stop() })
	for _, manifest := range []string{"install.yaml", "injection.yaml"} {
		apply := exec.CommandContext(t.Context(), filepath.Join(cp.Assets, "kubectl"), "--kubeconfig", cp.Kubeconfig,
			"apply", "--server-side", "-f", filepath.Join(dir, manifest))
		out, err := apply.CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(out))
	}
	var manager appsv1.Deployment
	c := strictClient(t, cp.Config)
	g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: system, Name: release}, &manager)).To(Succeed())
	g.Expect(manager.Spec.Template.Spec.Containers[0].Image).To(Equal(registry + "/callback-manager:v9"))
	g.Expect(remaining(t, c)).To(ContainElements("crd callbackroutes", release+"-injection", release+"-proxy"))
}
