// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/expect"
)

// expectConsistent looks at every status: none contradicts itself, and soon
// each is about the present generation.
func (s *system) expectConsistent() {
	s.t.Helper()
	s.Eventually(s.consistent, patience, 100*time.Millisecond).Should(Succeed())
}

// consistent returns which statuses are not about the present generation. A
// contradiction is not waited for to go away.
func (s *system) consistent() error {
	var routes callbackv1alpha1.CallbackRouteList
	var proxies callbackv1alpha1.CallbackProxyList
	if err := errors.Join(s.client.List(s.ctx, &routes), s.client.List(s.ctx, &proxies)); err != nil {
		return fmt.Errorf("read statuses: %w", err)
	}
	contradictions, late := expect.All(routes.Items, proxies.Items)
	if contradictions != nil {
		return StopTrying("a status contradicts itself").Wrap(contradictions)
	}
	return late
}
