// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// began is when helm install was typed.
var began time.Time

// images are the values that a registry's names would be given by.
func (w *world) images() []string {
	manager, managerTag := split(w.managerImage)
	proxy, proxyTag := split(w.proxyImage)
	return []string{
		"--set", "image.manager.repository=" + manager, "--set-string", "image.manager.tag=" + managerTag,
		"--set", "image.proxy.repository=" + proxy, "--set-string", "image.proxy.tag=" + proxyTag,
	}
}

// typed runs a command that counts as one of those before the first callback.
func (s *step) typed(limit time.Duration, stdin, name string, args ...string) string {
	s.Helper()
	output, err := s.command(limit, stdin, name, args...)
	if err != nil {
		s.fail("%v", err)
	}
	s.commands = append(s.commands, name)
	return output
}

// The commands in NOTES: to wait, to read, and to apply.
var (
	notesWait  = regexp.MustCompile(`(?m)^ *kubectl ((?:rollout|wait) .*)$`)
	notesShow  = regexp.MustCompile(`(?m)kubectl (get .*)$`)
	notesApply = regexp.MustCompile(`(?s)kubectl apply -f - <<EOF\n(.*?)\n *EOF`)
)

func install(s *step) {
	began = time.Now()
	system := s.namespace("system")
	output := s.typed(3*time.Minute, "", s.helm, append([]string{"install", release, s.chart, "--namespace", system}, s.images()...)...)
	took := time.Since(began)
	_, notes, _ := strings.Cut(output, "NOTES:")
	wait, show, apply := notesWait.FindAllStringSubmatch(notes, -1), notesShow.FindAllStringSubmatch(notes, -1), notesApply.FindStringSubmatch(notes)
	if len(wait) == 0 || len(show) == 0 || apply == nil {
		s.fail("NOTES lack a command to wait, to apply or to show:\n%s", output)
	}
	for _, match := range wait {
		s.typed(2*time.Minute, "", s.kubectl, strings.Fields(match[1])...)
	}
	s.record("helm install %.1f s; %d managers ready after %.1f s", took.Seconds(), s.managersReady(), time.Since(began).Seconds())
	checked := time.Now()
	for _, match := range show {
		s.run(strings.Fields(match[1])...)
	}
	example := strings.ReplaceAll("\n"+apply[1], "\n  ", "\n") // it is indented in NOTES
	if _, err := s.command(time.Minute, example, s.kubectl, "apply", "--dry-run=server", "-f", "-"); err != nil {
		s.fail("apply the manifest of NOTES: %v", err)
	}
	began = began.Add(time.Since(checked)) // no user waits for that
	s.record("all commands of NOTES work: %d to wait, %d to show, 1 to apply", len(wait), len(show))
}

func (s *step) managersReady() int {
	s.Helper()
	names, err := s.readyPods(s.namespace("system"), "app.kubernetes.io/name=callback-operator")
	if err != nil || len(names) == 0 {
		s.fail("no manager is ready: %v", err)
	}
	return len(names)
}

// installReferenceGrants gives the cluster the Gateway API's ReferenceGrant,
// unless it is there.
func (s *step) installReferenceGrants() {
	s.Helper()
	if _, err := s.tryKubectl("get", "crd", "referencegrants.gateway.networking.k8s.io"); err == nil {
		return
	}
	file, err := fixture.ReferenceGrantCRD(context.Background())
	if err != nil {
		s.fail("%v", err)
	}
	s.run("apply", "--server-side", "-f", file)
	s.values["OWN_REFERENCE_GRANTS"] = file
	s.run("wait", "--for=condition=Established", "--timeout=30s", "crd/referencegrants.gateway.networking.k8s.io")
}

// fleet: the platform team gives a host away, a tenant of another namespace
// has a callback on it, with backends in two more.
func fleet(s *step) {
	system, tenant := s.namespace("system"), s.namespace("tenant")
	for _, name := range []string{"4-platform.yaml", "5-tenant.yaml"} {
		text, err := s.manifest(name, nil)
		if err != nil {
			s.fail("%v", err)
		}
		s.typed(time.Minute, text, s.kubectl, "apply", "-f", "-")
	}
	s.typed(130*time.Second, "", s.kubectl, "wait", "--for=condition=Ready", "--timeout=120s", "callbackroute/acme-sso", "-n", tenant)
	edge := "callback-edge." + system + ".svc.cluster.local:8080"
	blue, green := "blue."+s.namespace("blue")+":8080", "green."+s.namespace("green")+":8080"
	led := s.leadsTo(edge)
	first := s.logIn("auth.acme.test", blue, edge, "blue")
	table.firstCallback = fmt.Sprintf("from helm install to the first served callback: %d commands, %.0f seconds",
		len(s.commands), time.Since(began).Seconds())
	switched := time.Now()
	s.switchTo("acme-sso", tenant, 0, 100)
	s.run("wait", "--for=condition=Programmed", "--timeout=60s", "callbackroute/acme-sso", "-n", tenant)
	took := time.Since(switched)
	second := s.logIn("auth.acme.test", green, edge, "green")
	s.waitFor(time.Minute, "condition=Ready", "callbackproxy/edge", "-n", system)
	s.record("the Service led to a proxy %.1f s after the route was Ready: what a node does with Services is not part of it", led.Seconds())
	s.record("logins: blue %.2f s, green %.2f s; from the patch to the acknowledgement of both proxies %.1f s",
		first.Seconds, second.Seconds, took.Seconds())
	s.record("%s", strings.TrimSpace(strings.ReplaceAll(s.run("get", "callbackproxy", "edge", "-n", system, "-o",
		`jsonpath=instances: {range .status.instances[*]}{.pod} {.state}; {end}`), "\n", " ")))
}

// leadsTo waits until a Service leads to a server.
func (s *step) leadsTo(address string) time.Duration {
	s.Helper()
	return s.within(20*time.Second, "an answer of "+address, func() (bool, string) {
		var a answer
		err := s.tryInClient(&a, "get", "--url=http://"+address+"/")
		return err == nil, errorText(err)
	})
}

// switchTo gives the two backends of a route their weights.
func (s *step) switchTo(route, namespace string, first, second int) {
	s.Helper()
	s.run("patch", "callbackroute", route, "-n", namespace, "--type=json", "-p", fmt.Sprintf(
		`[{"op":"replace","path":"/spec/backends/0/weight","value":%d},{"op":"replace","path":"/spec/backends/1/weight","value":%d}]`, first, second))
}

// drift deletes objects of a fleet and expects the operator to create them again.
func drift(s *step) {
	system := s.namespace("system")
	for _, kind := range []string{"service", "poddisruptionbudget", "networkpolicy", "deployment"} {
		before := s.run("get", kind, "callback-edge", "-n", system, "-o", "jsonpath={.metadata.uid}")
		s.run("delete", kind, "callback-edge", "-n", system)
		took := s.within(time.Minute, "another "+kind, func() (bool, string) {
			uid, err := s.tryKubectl("get", kind, "callback-edge", "-n", system, "-o", "jsonpath={.metadata.uid}")
			return err == nil && uid != before, uid + errorText(err)
		})
		s.record("%s is back after %.1f s", kind, took.Seconds())
	}
	s.rolledOut(2*time.Minute, "callback-edge", system)
	s.waitFor(time.Minute, "condition=Ready", "callbackroute/acme-sso", "-n", s.namespace("tenant"))
}

// cleanUp removes what is left, whatever happened.
func (w *world) cleanUp(t interface{ Logf(string, ...any) }) {
	if w.cleaned {
		return
	}
	w.cleaned = true
	if w.keep {
		t.Logf("E2E_KEEP is set: everything stays, with the prefix %s", w.prefix)
		return
	}
	for _, prefix := range []string{w.prefix, w.prefix + "u"} {
		_, _ = w.command(2*time.Minute, "", w.helm, "uninstall", release, "--namespace", prefix+"-system", "--ignore-not-found", "--wait")
		_, _ = w.command(3*time.Minute, "", w.kubectl, "delete", "namespaces", "-l", "callback-e2e="+prefix, "--timeout=150s")
	}
	_, _ = w.tryKubectl("delete", keptRole, "--ignore-not-found")
	output, err := w.tryKubectl("get", "crds", "-o", "name")
	for name := range strings.FieldsSeq(output) {
		if strings.Contains(name, "callbackproxy.io") {
			_, err = w.tryKubectl("delete", name)
		}
	}
	if file := w.values["OWN_REFERENCE_GRANTS"]; file != "" {
		_, err = w.tryKubectl("delete", "-f", file, "--ignore-not-found")
	}
	if err != nil {
		t.Logf("clean up: %v", err)
	}
	_ = os.RemoveAll(w.values["PREVIOUS_CHART_DIR"])
}
