// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"
)

// TestStory is what a platform team does, from the first day to the last. Its
// parts build on each other, and the name of each is its subject.
func TestStory(t *testing.T) {
	w := newWorld(readSettings(t), "e2e-"+strings.ToLower(rand.Text()[:5]))
	if !w.startsClean(t) {
		return
	}
	t.Cleanup(func() { w.cleanUp(t) })

	w.step(t, "0", "backends of other parties are there", "", prepare)
	w.step(t, "a", "helm installs the operator", "0", install)
	w.step(t, "b", "logins go to blue and green through the fleet", "a", fleet)
	w.step(t, "c1", "a sidecar is injected under restricted pod security", "b", inject)
	w.step(t, "c2", "logins go to the app and to green through the sidecar", "c1", sidecarLogins)
	w.step(t, "c3", "the sidecar passes on everything else", "c1", passThrough)
	// Health statuses of one route are written half a minute apart; the steps
	// between use that time.
	w.step(t, "d1", "a backend without a ready pod is reported within 10 s", "b", backendGone)
	w.step(t, "e", "the sunset passes", "b", sunset)
	w.step(t, "c4", "the sidecar starts before the app and stops after it", "c1", order)
	w.step(t, "d2", "a backend that returned is reported", "d1", backendBack)
	w.step(t, "k", "what a sidecar costs", "c3", cost)
	w.step(t, "d3", "a backend that hangs is reported within 10 s", "d2", backendHangs)
	w.step(t, "d4", "a backend that responds again is reported", "d3", backendAnswers)
	w.step(t, "i", "deleted parts of the fleet come back", "b", drift)
	w.step(t, "f1", "rolling restarts lose nothing", "c2", restarts)
	w.step(t, "f2", "evictions lose nothing", "b", evictions)
	w.step(t, "g", "a minute without the API server loses nothing", "c2", outage)
	w.step(t, "j", "helm uninstall leaves only what it should", "b", uninstall)
	w.step(t, "h", "an upgrade from the version before loses nothing", "j", upgrade)
	w.step(t, "z", "nothing is left", "", nothingLeft)
}

// startsClean refuses a cluster with an operator in it: its CRDs and
// ClusterRoles are the whole cluster's, and so is what is removed at the end.
func (w *world) startsClean(t *testing.T) bool {
	t.Helper()
	output, err := w.tryKubectl("get", "crds", "-o", "name")
	if err != nil {
		t.Fatalf("the cluster of E2E_KUBECONFIG does not answer: %v", err)
	}
	if strings.Contains(output, "callbackproxy.io") {
		t.Fatal("the cluster has CRDs of callbackproxy.io: this suite installs and removes them, so it needs a cluster without")
	}
	return true
}

// prepare makes what is there before a callback proxy.
func prepare(s *step) {
	if s.before == nil {
		s.before = s.clusterScoped()
	}
	s.installReferenceGrants()
	s.apply("1-namespaces.yaml")
	s.apply("2-tools.yaml")
	tools := s.namespace("tools")
	s.waitFor(2*time.Minute, "condition=Ready", "pod", "provider", "client", "-n", tools)
	s.values["ISSUER"] = "http://" + s.run("get", "pod", "provider", "-n", tools, "-o", "jsonpath={.status.podIP}") + ":8080"
	s.apply("3-backends.yaml")
	for _, name := range []string{"blue", "green"} {
		s.rolledOut(time.Minute, name, s.namespace(name))
	}
}
