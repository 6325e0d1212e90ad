// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/expect"
)

// expectConsistent judges every status at the end: none contradicts itself, and
// each describes the present generation soon.
func (r *run) expectConsistent() {
	r.b.Helper()
	r.Eventually(r.consistent, 30*time.Second, 2*time.Second).Should(Succeed())
}

func (r *run) consistent() error {
	var routes callbackv1alpha1.CallbackRouteList
	var proxies callbackv1alpha1.CallbackProxyList
	errs := []error{r.Client.List(r.ctx, &routes), r.Client.List(r.ctx, &proxies)}
	if len(routes.Items) != r.n {
		errs = append(errs, fmt.Errorf("%d routes are stored, %d were created", len(routes.Items), r.n))
	}
	contradictions, late := expect.All(routes.Items, proxies.Items)
	return errors.Join(append(errs, contradictions, late)...)
}
