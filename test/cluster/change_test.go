// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (s *step) edge() string {
	return "callback-edge." + s.namespace("system") + ".svc.cluster.local:8080"
}

// throughFleet and throughSidecar are callbacks; passedOn is what the sidecar
// passes to the application.
func (s *step) throughFleet(name string) *traffic {
	s.Helper()
	return s.startTraffic(way{name: name + "-fleet", target: s.edge(), host: "auth.acme.test"})
}

func (s *step) throughSidecar(name string) *traffic {
	s.Helper()
	return s.startTraffic(way{name: name + "-sidecar", target: s.front(), host: "app.acme.test"})
}

func (s *step) passedOn(name string) *traffic {
	s.Helper()
	return s.startTraffic(way{name: name + "-passed", target: s.front(), host: "app.acme.test", passed: true})
}

// restarts of the fleet, of the application with its sidecar and of the
// manager, while callbacks come through both.
func restarts(s *step) {
	system, app := s.namespace("system"), s.namespace("app")
	s.waitFor(time.Minute, "condition=Ready", "callbackroute/app-sso", "-n", app)
	fleet, front, passed := s.throughFleet("restart"), s.throughSidecar("restart"), s.passedOn("restart")
	time.Sleep(3 * time.Second) // some callbacks before anything happens
	restart := func(name, namespace string) time.Duration {
		s.Helper()
		began := time.Now()
		s.run("rollout", "restart", "deployment/"+name, "-n", namespace)
		s.rolledOut(3*time.Minute, name, namespace)
		return time.Since(began)
	}
	proxies := restart("callback-edge", system)
	leader := s.leader()
	managers := restart(release, system)
	var next string
	handedOver := s.within(30*time.Second, "another leader", func() (bool, string) {
		next = s.leader()
		return next != leader && next != "", next
	})
	var apps time.Duration
	for range 3 { // clients with a kept connection stay with the old pod to its last moment
		apps = restart("app", app)
		s.appPod()
		s.gone(app, "app=app", 1)
	}
	s.gone(system, "callbackproxy.io/proxy=edge", 2)
	s.record("rollout of 2 proxies %.0f s, of the app with its sidecar %.0f s (and twice more), of 2 managers %.0f s; another manager leads %.1f s after that",
		proxies.Seconds(), apps.Seconds(), managers.Seconds(), handedOver.Seconds())
	fleet.stopClean("callbacks through the fleet")
	front.stopClean("callbacks through the sidecar")
	passed.stopClean("passed on by the sidecar")
	s.waitFor(time.Minute, "condition=Ready", "callbackroute/acme-sso", "-n", s.namespace("tenant"))
}

// gone waits until there are no more than so many pods: those that are about
// to go still serve.
func (s *step) gone(namespace, selector string, most int) {
	s.Helper()
	s.within(time.Minute, "the end of the old pods with "+selector, func() (bool, string) {
		pods, err := s.pods(namespace, selector)
		return err == nil && len(pods) <= most, fmt.Sprintf("%d pods %s", len(pods), errorText(err))
	})
}

// leader is the holder of the managers' lease.
func (s *step) leader() string {
	s.Helper()
	return strings.TrimSpace(s.run("get", "leases", "-n", s.namespace("system"), "-o", "jsonpath={.items[*].spec.holderIdentity}"))
}

// evictions, as a drain makes them, one proxy after the other.
func evictions(s *step) {
	system := s.namespace("system")
	const selector = "callbackproxy.io/proxy=edge"
	names := s.twoReady(system, selector)
	l := s.throughFleet("evict")
	time.Sleep(2 * time.Second)
	if err := s.evict(system, names[0]); err != nil {
		s.fail("the first eviction: %v", err)
	}
	refused := s.evict(system, names[1])
	if refused == nil || !strings.Contains(refused.Error(), "disruption budget") {
		s.fail("the second eviction, with one proxy down, was to be refused by the budget: %v", refused)
	}
	took := s.within(90*time.Second, "leave to evict the second", func() (bool, string) {
		err := s.evict(system, names[1])
		return err == nil, errorText(err)
	})
	s.twoReady(system, selector)
	s.gone(system, selector, 2)
	s.record("the budget refused the second eviction while one proxy was down, for %.1f s", took.Seconds())
	l.stopClean("callbacks through the fleet")
}

func (s *step) twoReady(namespace, selector string) (names []string) {
	s.Helper()
	s.within(90*time.Second, "two ready pods with "+selector, func() (bool, string) {
		var err error
		names, err = s.readyPods(namespace, selector)
		return len(names) == 2, strings.Join(names, " ") + errorText(err)
	})
	return names
}

// evict is what kubectl drain calls for each pod.
func (w *world) evict(namespace, pod string) error {
	body := fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":%q,"namespace":%q}}`, pod, namespace)
	_, err := w.command(time.Minute, body, w.kubectl, "create", "--raw",
		"/api/v1/namespaces/"+namespace+"/pods/"+pod+"/eviction", "-f", "-")
	return err
}

// outageTime is how long the API server is away.
const outageTime = time.Minute

func outage(s *step) {
	if s.stopAPI == "" {
		s.row.result = "not run"
		s.record("not run: E2E_STOP_API and E2E_START_API are not set, so the suite cannot stop the API server")
		return
	}
	fleet, front, passed := s.throughFleet("outage"), s.throughSidecar("outage"), s.passedOn("outage")
	time.Sleep(3 * time.Second)
	s.shell(s.stopAPI)
	var started sync.Once
	start := func() { started.Do(func() { s.shell(s.startAPI) }) }
	defer start()
	if _, err := s.command(5*time.Second, "", s.kubectl, "get", "--raw", "/readyz", "--request-timeout=2s"); err == nil {
		s.fail("E2E_STOP_API ended, and the API server answers")
	}
	time.Sleep(outageTime)
	start()
	back := time.Now()
	s.within(time.Minute, "the API server's answer", func() (bool, string) {
		_, err := s.tryKubectl("get", "--raw", "/readyz")
		return err == nil, errorText(err)
	})
	// A change shows that a manager leads, and that the proxies still watch.
	s.switchTo("acme-sso", s.namespace("tenant"), 0, 99)
	s.awaitCondition(3*time.Minute, "acme-sso", s.namespace("tenant"), "Programmed", metav1.ConditionTrue, "")
	s.record("a change is served by all proxies %.0f s after the API server's return", time.Since(back).Seconds())
	time.Sleep(5 * time.Second) // what returns may disturb, too
	s.nodesStayedReady(back.Add(-outageTime))
	fleet.stopClean("callbacks through the fleet")
	front.stopClean("callbacks through the sidecar")
	passed.stopClean("passed on by the sidecar")
	for route, namespace := range map[string]string{"acme-sso": s.namespace("tenant"), "app-sso": s.namespace("app")} {
		s.awaitCondition(time.Minute, route, namespace, "Ready", metav1.ConditionTrue, "")
	}
}

// nodesStayedReady returns whether the cluster itself took its pods out of all
// Services. A control plane whose controllers outlive the API server does: they
// heard nothing of the nodes for a minute.
func (s *step) nodesStayedReady(since time.Time) {
	s.Helper()
	var nodes corev1.NodeList
	if err := s.get(&nodes, "nodes"); err != nil {
		s.fail("%v", err)
	}
	for _, node := range nodes.Items {
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.LastTransitionTime.After(since) {
				s.record("NOTE: the cluster declared node %s not ready, and its pods with it, until %s", node.Name, clockTime(c.LastTransitionTime.Time))
			}
		}
	}
}

// shell runs a command of the settings.
func (s *step) shell(command string) {
	s.Helper()
	if _, err := s.command(2*time.Minute, "", "sh", "-c", command); err != nil {
		s.Fatalf("%v", err)
	}
}
