// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"

	"k8s.io/client-go/rest"
)

// A manager that may not read the API server's Service forbids its address all
// the same.
func TestAPIServerAddresses(t *testing.T) {
	for _, tc := range []struct{ env, host, want string }{
		{"10.96.0.1", "https://10.96.0.1:443", "[10.96.0.1]"},
		{"10.96.0.1", "https://192.0.2.7:6443", "[10.96.0.1 192.0.2.7]"},
		{"", "https://[fd00::1]:6443", "[fd00::1]"},
		{"", "192.0.2.7:6443", "[192.0.2.7]"},
		{"", "192.0.2.7", "[192.0.2.7]"},
		{"", "https://api.example:6443", "[]"},
	} {
		t.Setenv("KUBERNETES_SERVICE_HOST", tc.env)
		if got := fmt.Sprint(apiServerAddresses(&rest.Config{Host: tc.host})); got != tc.want {
			t.Errorf("%q, %q: %s, want %s", tc.env, tc.host, got, tc.want)
		}
	}
}
