// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"sigs.k8s.io/yaml"
)

// The table's column for Flux is what kstatus computes, for both kinds.
func TestFlux_ComputesTheTable(t *testing.T) {
	for _, row := range table(t) {
		for _, kind := range []string{"CallbackRoute", "CallbackProxy"} {
			got, err := status.Compute(object(t, kind, row.state))
			if err != nil {
				t.Fatal(err)
			}
			if got.Status.String() != row.kstatus {
				t.Errorf("%s, %s: kstatus computes %s (%s), the table has %s", kind, row.state, got.Status, got.Message, row.kstatus)
			}
		}
	}
}

// The page's Kustomizations have only fields that Flux knows.
func TestFlux_KnowsEveryField(t *testing.T) {
	for _, text := range manifests(t, "Kustomization") {
		k := &kustomizev1.Kustomization{}
		if err := yaml.UnmarshalStrict([]byte(text), k); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		if k.Spec.Interval.Duration == 0 || k.Spec.Timeout == nil || k.Spec.Path == "" || !k.Spec.Wait && len(k.Spec.HealthChecks) == 0 {
			t.Errorf("Kustomization %s does not wait for anything: %+v", k.Name, k.Spec)
		}
	}
}
