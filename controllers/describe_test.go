// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/statuswriter"
)

// describe_test.go reads events with kubectl, as a user does.

// eventLine is a line of kubectl describe about ResolvedRefs.
var eventLine = regexp.MustCompile(`(?m)^  (?:Normal|Warning) +(BackendNotFound|ResolvedRefs) .*$`)

// W57: kubectl describe prints many events of a route in their order, also those of
// one second. Its sort by lastTimestamp is not stable, but leaves a list as it is
// that is in order already, and the API server lists events by name.
func TestW57_KubectlDescribe_PrintsEventsInOrder(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.events.recorder = statuswriter.NewRecorder(w.client, w.clock, logr.Discard())
	w.reconciler.Statuses = statuswriter.New(w.client, w.events.recorder, w.clock)
	w.migration(w.newRoute("acme"))
	w.settle()
	w.clock.SetTime(w.clock.Now().Add(time.Hour).Truncate(time.Second)) // the bound of writes has its whole burst again
	var want []string
	for n := range 30 {
		service, reason := fmt.Sprintf("absent-%02d", n), "BackendNotFound"
		if n%2 == 1 {
			service, reason = "legacy-idp", "ResolvedRefs"
		}
		route := &kube.Route{CallbackRoute: *w.route("acme")}
		route.Spec.Backends[0].Service.Name = callbackv1alpha1.ObjectName(service)
		w.Expect(w.client.Update(w.ctx, route)).To(Succeed())
		w.reconcile()
		w.Expect(w.condition("acme", "ResolvedRefs").Reason).To(Equal(reason), "%d", n)
		want = append(want, reason+" "+service)
		step := 50 * time.Millisecond
		if n >= 14 {
			step = 2 * time.Second
		}
		w.clock.SetTime(w.clock.Now().Add(step))
	}
	w.events.take()
	printed, err := exec.CommandContext(w.ctx, filepath.Join(controlPlane.Assets, "kubectl"), "--kubeconfig="+controlPlane.Kubeconfig,
		"describe", "callbackroute", "acme", "--namespace="+w.identity).CombinedOutput()
	w.Expect(err).NotTo(HaveOccurred(), string(printed))
	_, events, found := strings.Cut(string(printed), "\nEvents:\n")
	w.Expect(found).To(BeTrue(), string(printed))
	var got []string
	for _, match := range eventLine.FindAllStringSubmatch(events, -1) {
		service := "legacy-idp"
		if name := regexp.MustCompile(`absent-\d+`).FindString(match[0]); name != "" {
			service = name
		}
		got = append(got, match[1]+" "+service)
	}
	w.Expect(got).To(Equal(want), events)
}
