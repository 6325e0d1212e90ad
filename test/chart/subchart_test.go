// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"testing"

	. "github.com/onsi/gomega"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

// renderParent renders a chart that depends on this one, in the release
// "platform" of the namespace "platform".
func renderParent(t *testing.T, values string) []rendering.Object {
	t.Helper()
	g := NewWithT(t)
	child := load(t)
	parent := &chartv2.Chart{
		Metadata: &chartv2.Metadata{
			APIVersion: chartv2.APIVersionV2, Name: "platform", Version: "1.0.0",
			Dependencies: []*chartv2.Dependency{{
				Name: child.Name(), Version: child.Metadata.Version, Condition: "callback-operator.enabled",
			}},
		},
		Values: map[string]any{},
	}
	parent.AddDependency(child)
	decoded, err := common.ReadValues([]byte(values))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(chartutil.ProcessDependencies(parent, decoded)).To(Succeed())
	objects, _, err := rendering.Render(parent, rendering.Release{Name: "platform", Namespace: "platform", Values: decoded})
	g.Expect(err).NotTo(HaveOccurred())
	return objects
}

func TestSubchart_UsesGlobalValues(t *testing.T) {
	g := NewWithT(t)
	objects := renderParent(t, `
global: {imageRegistry: mirror.example.com/all, imagePullSecrets: [{name: mirror}], storageClass: fast}
callback-operator: {enabled: true, imagePullSecrets: [own]}`)
	deployments := ofKind(objects, "Deployment")
	g.Expect(deployments).To(HaveLen(1))
	var manager appsv1.Deployment
	decode(t, deployments[0], &manager)
	g.Expect(manager.Name).To(Equal("platform-callback-operator"))
	g.Expect(manager.Namespace).To(Equal("platform"))
	pod := manager.Spec.Template.Spec
	g.Expect(pod.Containers[0].Image).To(HavePrefix("mirror.example.com/all/callback-manager:"))
	g.Expect(environment(pod.Containers[0])).To(HaveKeyWithValue("PROXY_IMAGE", HavePrefix("mirror.example.com/all/callback-proxy:")))
	g.Expect(pod.ImagePullSecrets).To(HaveLen(2))
	g.Expect(pod.Containers[0].Args).To(ContainElement("--proxy-image-pull-secrets=own,mirror"))
}

func TestSubchart_OwnRegistryWins(t *testing.T) {
	objects := renderParent(t, `
global: {imageRegistry: mirror.example.com}
callback-operator: {image: {registry: own.example.com}}`)
	var manager appsv1.Deployment
	decode(t, ofKind(objects, "Deployment")[0], &manager)
	NewWithT(t).Expect(manager.Spec.Template.Spec.Containers[0].Image).To(HavePrefix("own.example.com/callback-manager:"))
}

func TestSubchart_IsDisabledByItsCondition(t *testing.T) {
	NewWithT(t).Expect(renderParent(t, "callback-operator: {enabled: false}")).To(BeEmpty())
}
