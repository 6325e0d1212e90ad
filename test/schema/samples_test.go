// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/test/schema"
)

// samples returns the objects of config/samples as kubectl apply -k sends them.
func samples(t testing.TB, s *server) []*unstructured.Unstructured {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(s.Assets, "kubectl"), "kustomize", "../../config/samples").Output()
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(string(out), "\n---\n") {
		object, err := schema.ParseYAML([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, &unstructured.Unstructured{Object: object})
	}
	return objects
}

// The samples are accepted as they are, with no unknown field, and their pods meet
// the Pod Security level restricted, which their namespaces enforce.
func TestSamples_AreAccepted(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "samples-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := s.client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, object := range samples(t, s) {
		kinds[object.GetKind()]++
		if object.GetKind() == "Namespace" {
			if level := object.GetLabels()["pod-security.kubernetes.io/enforce"]; level != "restricted" {
				t.Errorf("namespace %s enforces the Pod Security level %q", object.GetName(), level)
			}
			continue
		}
		object.SetNamespace(namespace.Name)
		if err := s.client.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
		template, found, err := unstructured.NestedMap(object.Object, "spec", "template")
		if err != nil || !found {
			continue
		}
		pod := &unstructured.Unstructured{Object: template}
		pod.SetAPIVersion("v1")
		pod.SetKind("Pod")
		pod.SetNamespace(namespace.Name)
		pod.SetName(object.GetName())
		if err := s.client.Create(t.Context(), pod, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
			t.Errorf("a pod of %s: %v", object.GetName(), err)
		}
	}
	if kinds["CallbackProxy"] != 1 || kinds["CallbackRoute"] != 1 || kinds["Deployment"] != 2 || kinds["Service"] != 2 || kinds["Namespace"] != 2 {
		t.Errorf("the samples are %v", kinds)
	}
}

// The samples work for years: the route ends late, and its CallbackProxy allows
// that on each day before.
func TestSamples_StayValid(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	var sunset time.Time
	var days int64
	for _, object := range samples(t, s) {
		switch object.GetKind() {
		case "CallbackRoute":
			text, _, _ := unstructured.NestedString(object.Object, "spec", "sunsetTime")
			var err error
			if sunset, err = time.Parse(time.RFC3339, text); err != nil {
				t.Fatal(err)
			}
		case "CallbackProxy":
			days, _, _ = unstructured.NestedInt64(object.Object, "spec", "policy", "maxLifetimeDays")
		}
	}
	now := time.Now()
	if !sunset.After(now.AddDate(2, 0, 0)) {
		t.Errorf("the sample's sunset %s is less than two years away: move it", sunset)
	}
	if sunset.After(now.AddDate(0, 0, int(days))) {
		t.Errorf("the sample's sunset %s is more than %d days away", sunset, days)
	}
}
