// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

// renderManager returns the manager's Deployment.
func renderManager(t *testing.T, values string) appsv1.Deployment {
	t.Helper()
	var manager appsv1.Deployment
	deployments := ofKind(render(t, values), "Deployment")
	NewWithT(t).Expect(deployments).To(HaveLen(1))
	decode(t, deployments[0], &manager)
	return manager
}

// environment returns the variables of a container that have a value.
func environment(container corev1.Container) map[string]string {
	variables := map[string]string{}
	for _, variable := range container.Env {
		if variable.ValueFrom == nil {
			variables[variable.Name] = variable.Value
		}
	}
	return variables
}

// OpenShift's restricted-v2 assigns users and groups from a range of the
// namespace and refuses pods that choose others.
func TestPods_SetNoUserByDefault(t *testing.T) {
	g := NewWithT(t)
	pod := renderManager(t, "").Spec.Template.Spec
	g.Expect(pod.SecurityContext).To(Equal(&corev1.PodSecurityContext{
		RunAsNonRoot:   new(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}))
	g.Expect(pod.Containers[0].SecurityContext).To(Equal(&corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true),
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}))
	g.Expect(pod.Volumes[0].Projected.DefaultMode).To(HaveValue(BeEquivalentTo(0o444)), "the image's user reads the token")

	pod = renderManager(t, "podSecurityContext: {runAsUser: 1000}\ncontainerSecurityContext: {runAsGroup: 2000}").Spec.Template.Spec
	g.Expect(pod.SecurityContext.RunAsUser).To(HaveValue(BeEquivalentTo(1000)))
	g.Expect(pod.SecurityContext.RunAsNonRoot).To(HaveValue(BeTrue()))
	g.Expect(pod.Containers[0].SecurityContext.RunAsGroup).To(HaveValue(BeEquivalentTo(2000)))
	g.Expect(pod.Containers[0].SecurityContext.ReadOnlyRootFilesystem).To(HaveValue(BeTrue()))
}

func TestNames_AreOverridden(t *testing.T) {
	g := NewWithT(t)
	manager := renderManager(t, "fullnameOverride: shim")
	g.Expect(manager.Name).To(Equal("shim"))
	g.Expect(manager.Spec.Template.Spec.Containers[0].Args).To(ContainElement("--proxy-cluster-role=shim-proxy"))
	g.Expect(renderManager(t, "nameOverride: shim").Name).To(Equal(release + "-shim"))
}

// With namespaceOverride no object stays in the release's namespace, and
// bindings, policies and default namespaces follow.
func TestNamespace_IsOverridden(t *testing.T) {
	g := NewWithT(t)
	objects := render(t, "namespaceOverride: identity\n"+edge, append(rendering.Monitoring(), rendering.MutatingPolicy, rendering.CallbackProxy)...)
	for _, object := range objects {
		g.Expect(object.GetNamespace()).To(BeElementOf("", "identity"), object.GetName())
		g.Expect(object.YAML).NotTo(MatchRegexp(`(namespace: |serviceaccount:|namespaces=)`+system), object.GetName())
	}
	manager := renderManager(t, "namespaceOverride: identity")
	g.Expect(manager.Spec.Template.Spec.Containers[0].Args).To(ContainElement("--proxy-namespaces=identity"))
}

func TestManager_GetsAdditionalEnvironmentAndVolumes(t *testing.T) {
	g := NewWithT(t)
	manager := renderManager(t, `
revisionHistoryLimit: 7
extraEnv: [{name: GOMEMLIMIT, value: 400MiB}]
extraVolumes: [{name: ca, configMap: {name: ca}}]
extraVolumeMounts: [{name: ca, mountPath: /etc/ssl/more}]`)
	pod := manager.Spec.Template.Spec
	g.Expect(manager.Spec.RevisionHistoryLimit).To(HaveValue(BeEquivalentTo(7)))
	g.Expect(environment(pod.Containers[0])).To(HaveKeyWithValue("GOMEMLIMIT", "400MiB"))
	g.Expect(environment(pod.Containers[0])).To(HaveKeyWithValue("PROXY_IMAGE", registry+"/callback-proxy:0.1.0"))
	g.Expect(pod.Volumes).To(HaveLen(2))
	g.Expect(pod.Containers[0].VolumeMounts).To(HaveLen(2))
}

// Images that are loaded into the nodes, as with kind, need no registry; a host
// with a port or localhost is one.
func TestImages_WithoutARegistryNeedPullPolicyNever(t *testing.T) {
	g := NewWithT(t)
	loaded := renderManager(t, `image: {manager: {pullPolicy: Never, tag: dev}, proxy: {pullPolicy: Never, tag: dev}}`)
	container := loaded.Spec.Template.Spec.Containers[0]
	g.Expect(container.Image).To(Equal("callback-manager:dev"))
	g.Expect(environment(container)).To(HaveKeyWithValue("PROXY_IMAGE", "callback-proxy:dev"))
	for _, registry := range []string{"localhost", "localhost:5000", "127.0.0.1:5000/a", "registry.example.com"} {
		image := renderManager(t, "image: {registry: '"+registry+"'}").Spec.Template.Spec.Containers[0].Image
		g.Expect(image).To(Equal(registry + "/callback-manager:0.1.0"))
	}
	qualified := renderManager(t, `image: {manager: {repository: r.example.com/m}, proxy: {repository: r.example.com/p}}`)
	g.Expect(qualified.Spec.Template.Spec.Containers[0].Image).To(Equal("r.example.com/m:0.1.0"))
}

// The proxies of kept fleets read their config by this role. It goes when the
// CRDs, and with them the fleets, go.
func TestProxyRole_IsKeptWithTheFleets(t *testing.T) {
	for values, kept := range map[string]bool{
		"": true, "crds: {enabled: false}": true, "crds: {keep: false}": false, "crds: {enabled: false, keep: false}": true,
	} {
		found := false
		for _, role := range ofKind(render(t, values), "ClusterRole") {
			policy := role.GetAnnotations()["helm.sh/resource-policy"]
			if role.GetName() != release+"-proxy" {
				NewWithT(t).Expect(policy).To(BeEmpty(), role.GetName())
				continue
			}
			found = true
			isKept := policy == "keep"
			NewWithT(t).Expect(isKept).To(Equal(kept), values)
		}
		NewWithT(t).Expect(found).To(BeTrue())
	}
}
