// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rendering

import "strings"

// Bare takes from an object what only Helm puts there: which chart made it, who
// manages it, and what Helm is to do with it.
func Bare(object Object) {
	labels := object.GetLabels()
	delete(labels, "helm.sh/chart")
	delete(labels, "app.kubernetes.io/managed-by")
	object.SetLabels(labels)
	annotations := object.GetAnnotations()
	for key := range annotations {
		if strings.HasPrefix(key, "helm.sh/") || strings.HasPrefix(key, "meta.helm.sh/") {
			delete(annotations, key)
		}
	}
	if len(annotations) == 0 {
		annotations = nil
	}
	object.SetAnnotations(annotations)
}
