// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package injection

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// The API server accepts the objects of docs/sidecar.md, injects the sidecar into
// its pod, and denies with the message of the page.
func TestPage_MatchesTheAPIServer(t *testing.T) {
	g, c := NewWithT(t), shared
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "sidecar.md"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(newNamespace(t.Context(), c, "identity", nil)).To(Succeed())
	kinds := map[string]int{}
	var template corev1.PodTemplateSpec
	for _, block := range yamlBlock.FindAllSubmatch(page, -1) {
		decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(string(block[1])), 4096)
		for {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			g.Expect(c.Create(t.Context(), object, client.FieldValidation(metav1.FieldValidationStrict))).To(Succeed())
			kinds[object.GetKind()]++
			if object.GetKind() == "Deployment" {
				var deployment appsv1.Deployment
				g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment)).To(Succeed())
				template = deployment.Spec.Template
			}
		}
	}
	g.Expect(kinds).To(Equal(map[string]int{"CallbackProxy": 1, "Deployment": 1, "Service": 2, "CallbackRoute": 1}))

	pod := func() *corev1.Pod {
		meta := template.ObjectMeta
		meta.Namespace, meta.Name = "identity", "legacy-idp-5d9c7b-x2x9x"
		return &corev1.Pod{ObjectMeta: *meta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	}
	injected := pod()
	g.Eventually(func() error { return c.Create(t.Context(), injected, client.DryRunAll) }, patience).Should(Succeed())
	g.Expect(injected.Spec.InitContainers[0].Name).To(Equal(workload.ContainerName))

	denied := pod()
	denied.Labels[callbackv1alpha1.InjectLabel] = "frnt"
	err = c.Create(t.Context(), denied)
	g.Expect(err).To(HaveOccurred())
	g.Expect(string(page)).To(ContainSubstring("\n" + err.Error() + "\n"))
}
