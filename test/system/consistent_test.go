// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// consistent_test.go: the judgement of every status of the installation.

import (
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/test/expect"
)

// expectConsistent judges every status after the fault: none contradicts itself,
// and each describes the present generation within the test's patience.
func (s *system) expectConsistent() {
	s.t.Helper()
	s.Eventually(s.consistent, patience, time.Second).Should(Succeed())
}

// consistent returns the statuses that do not describe the present generation.
// A contradiction fails the test at once.
func (s *system) consistent() error {
	routes, err := s.routes()
	var proxies kube.ProxyList
	if err = errors.Join(err, s.tolerant.List(s.ctx, &proxies)); apierrors.IsNotFound(err) {
		return nil // uninstalled
	} else if err != nil {
		return fmt.Errorf("read statuses: %w", err)
	}
	var judged []callbackv1alpha1.CallbackRoute
	var contradictions []error
	for i := range routes {
		route := &routes[i].CallbackRoute
		// The status of a route without a CallbackProxy is never written.
		if route.Spec.ProxyRef.Name == "" || client.ObjectKeyFromObject(route) == s.mute {
			contradictions = append(contradictions, expect.SoundRoute(route))
		} else {
			judged = append(judged, *route)
		}
	}
	fleets := make([]callbackv1alpha1.CallbackProxy, len(proxies.Items))
	for i := range fleets {
		fleets[i] = proxies.Items[i].CallbackProxy
	}
	wrong, late := expect.All(judged, fleets)
	if err := errors.Join(append(contradictions, wrong)...); err != nil {
		return StopTrying("a status contradicts itself").Wrap(err)
	}
	return late
}
