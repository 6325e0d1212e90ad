// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// listable are all resources of the cluster, for one kubectl get.
func (s *step) listable(more ...string) string {
	s.Helper()
	args := append([]string{"api-resources", "--verbs=list", "-o", "name"}, more...)
	return strings.Join(strings.Fields(s.run(args...)), ",")
}

// clusterScoped are the names of all objects that are in no namespace.
func (s *step) clusterScoped() []string {
	s.Helper()
	return strings.Fields(s.run("get", s.listable("--namespaced=false"), "--ignore-not-found", "-o", "name"))
}

// newObjects are those cluster-scoped ones that were not there at the start;
// namespaces of the suite, the addresses of Services and what the Gateway API
// brought aside.
func (s *step) newObjects() (found []string) {
	s.Helper()
	for _, name := range s.clusterScoped() {
		if !slices.Contains(s.before, name) && !strings.HasPrefix(name, "namespace/"+s.prefix) &&
			!strings.HasPrefix(name, "ipaddress.networking.k8s.io/") && !strings.Contains(name, "gateway.networking.k8s.io") {
			found = append(found, name)
		}
	}
	return found
}

// uninstall: with objects there, and callbacks on their way.
func uninstall(s *step) {
	system := s.namespace("system")
	l := s.throughFleet("uninstall")
	time.Sleep(2 * time.Second)
	began := time.Now()
	output, err := s.command(3*time.Minute, "", s.helm, "uninstall", release, "--namespace", system, "--wait")
	if err != nil {
		s.fail("%v", err)
	}
	s.record("helm uninstall: %.1f s", time.Since(began).Seconds())
	s.Log(output)
	time.Sleep(12 * time.Second) // without a manager the proxies go on
	l.stopClean("fleet, which belongs to its CallbackProxy and goes on without an operator")
	s.onlyKept(system)
	if kept := s.run("get", "callbackproxies,callbackroutes", "-A", "-o", "name"); strings.Count(kept, "\n") != 4 {
		s.fail("objects are gone, or others came: %s", kept)
	}
	began = time.Now()
	s.deleteNamespaces(s.prefix)
	s.record("namespaces with all objects in them deleted in %.0f s", time.Since(began).Seconds())
	s.deleteKept()
}

// keptRole lets the proxies of a fleet that stays read their config, also after a
// restart.
const keptRole = "clusterrole.rbac.authorization.k8s.io/" + release + "-proxy"

// onlyKept fails unless the CRDs and the role of the proxies, and no more, stay of
// the release in the whole cluster.
func (s *step) onlyKept(system string) {
	s.Helper()
	all := s.listable()
	took := s.within(time.Minute, "the end of all that the release made", func() (bool, string) {
		var left []string
		for _, selector := range []string{"app.kubernetes.io/instance=" + release, "owner=helm,name=" + release} {
			output, err := s.tryKubectl("get", all, "-A", "--ignore-not-found", "-o", "name", "-l", selector)
			if err != nil {
				return false, err.Error()
			}
			left = append(left, slices.DeleteFunc(strings.Fields(output), isKept)...)
		}
		return len(left) == 0, strings.Join(left, " ")
	})
	s.onlyTheFleets(system)
	kept := s.newObjects()
	crds, roles := 0, 0
	for _, name := range kept {
		switch {
		case isCRD(name) && strings.HasSuffix(name, ".callbackproxy.io"):
			crds++
		case name == keptRole:
			roles++
		case name == "apiservice.apiregistration.k8s.io/v1alpha1.callbackproxy.io": // comes and goes with the CRDs
		default:
			s.fail("left of the release: %s", name)
		}
	}
	if crds != 3 || roles != 1 {
		s.fail("the objects that stay are %v", kept)
	}
	s.record("left of the release in the whole cluster, polled for %.0f s: %d CRDs and the role of the proxies", took.Seconds(), crds)
}

func isCRD(name string) bool {
	return strings.HasPrefix(name, "customresourcedefinition.apiextensions.k8s.io/")
}

func isKept(name string) bool { return isCRD(name) || name == keptRole }

// onlyTheFleets expects everything in the operator's namespace to belong to the
// CallbackProxy, or to every namespace.
func (s *step) onlyTheFleets(system string) {
	s.Helper()
	s.within(time.Minute, "the end of the managers' lease, with the account that it belongs to", func() (bool, string) {
		left, err := s.tryKubectl("get", "leases", "-n", system, "-o", "name")
		return err == nil && left == "", fmt.Sprintf("%s%v", left, err)
	})
	const columns = `custom-columns=KIND:.kind,NAME:.metadata.name,OWNER:.metadata.ownerReferences[0].kind`
	everybodys := []string{"ConfigMap/kube-root-ca.crt", "ServiceAccount/default", "CallbackProxy/edge", "Endpoints/callback-edge"}
	for line := range strings.Lines(s.run("get", s.listable("--namespaced=true"), "-n", system, "--ignore-not-found", "--no-headers", "-o", columns)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "<none>" || fields[0] == "Event" {
			continue
		}
		switch name := fields[0] + "/" + fields[1]; {
		case slices.Contains(everybodys, name):
		default:
			s.fail("left in %s, without an owner: %s", system, name)
		}
	}
}

func (s *step) deleteNamespaces(prefix string) {
	s.Helper()
	_, err := s.command(3*time.Minute, "", s.kubectl, "delete", "namespaces", "-l", "callback-e2e="+prefix, "--timeout=150s")
	if err != nil {
		stuck, _ := s.tryKubectl("get", "namespaces", "-l", "callback-e2e="+prefix, "-o", "jsonpath={range .items[*]}{.metadata.name}: {.status}{\"\\n\"}{end}")
		s.fail("a namespace is stuck: %v\n%s", err, stuck)
	}
}

// deleteKept deletes what an uninstallation keeps.
func (s *step) deleteKept() {
	s.Helper()
	s.run("delete", keptRole)
	for name := range strings.FieldsSeq(s.run("get", "crds", "-o", "name")) {
		if strings.Contains(name, "callbackproxy.io") {
			s.run("delete", name)
		}
	}
}

// previousChart is this chart with CRDs that lack a field, as those of a version
// before this one. There is no earlier release.
func (s *step) previousChart() string {
	s.Helper()
	dir, err := os.MkdirTemp("", "callback-e2e-")
	if err != nil {
		s.fail("%v", err)
	}
	s.values["PREVIOUS_CHART_DIR"] = dir
	copied := filepath.Join(dir, "chart")
	// The chart's files are links to config/.
	if _, err := s.command(time.Minute, "", "cp", "-RL", s.chart, copied); err != nil {
		s.fail("copy the chart: %v", err)
	}
	file := filepath.Join(copied, "files", "crds", "callbackproxy.io_callbackproxies.yaml")
	if err := removeField(file, laterField); err != nil {
		s.fail("%v", err)
	}
	if _, err := s.command(time.Minute, "", s.helm, "package", copied, "--version", "0.0.1", "--destination", dir); err != nil {
		s.fail("%v", err)
	}
	return filepath.Join(dir, "callback-operator-0.0.1.tgz")
}

// laterField is the field of a CallbackProxy's spec that the version before
// lacks.
const laterField = "forwarding"

// removeField removes a field of the spec from a CRD.
func removeField(file, field string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the CRD: %w", err)
	}
	var crd unstructured.Unstructured
	if err := yaml.Unmarshal(text, &crd.Object); err != nil {
		return fmt.Errorf("decode the CRD: %w", err)
	}
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil || len(versions) != 1 {
		return fmt.Errorf("read the versions of the CRD: %d (%w)", len(versions), err)
	}
	path := []string{"schema", "openAPIV3Schema", "properties", "spec", "properties", field}
	version, _ := versions[0].(map[string]any)
	if _, found, _ := unstructured.NestedMap(version, path...); !found {
		return fmt.Errorf("the CRD has no field %s", field)
	}
	unstructured.RemoveNestedField(version, path...)
	if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
		return fmt.Errorf("change the CRD: %w", err)
	}
	if text, err = yaml.Marshal(crd.Object); err != nil {
		return fmt.Errorf("encode the CRD: %w", err)
	}
	return os.WriteFile(file, text, 0o600)
}

// upgrade installs the version before, with a fleet in mode External; then this
// one, and then the operator takes the fleet over.
func upgrade(s *step) {
	old := s.prefix
	s.prefix = old + "u"
	s.values["P"] = s.prefix
	defer func() { s.prefix, s.values["P"] = old, old }()
	prepare(s)
	system, tenant := s.namespace("system"), s.namespace("tenant")
	// The annotation makes the managers' pods others than after the upgrade, as another image would.
	args := append([]string{
		"install", release, s.previousChart(), "--namespace", system, "--wait", "--timeout=2m",
		"--set-string", "podAnnotations.callback-e2e=previous",
	}, s.images()...)
	if _, err := s.command(3*time.Minute, "", s.helm, args...); err != nil {
		s.fail("%v", err)
	}
	if s.hasLaterField() {
		s.fail("the version before has spec.%s: there is nothing to upgrade", laterField)
	}
	s.values["PROXY_ROLE"] = release + "-proxy"
	s.apply("previous.yaml")
	s.apply("5-tenant.yaml")
	s.switchTo("acme-sso", tenant, 0, 100)
	s.waitFor(2*time.Minute, "condition=Ready", "callbackroute/acme-sso", "-n", tenant)
	s.rolledOut(time.Minute, "edge", system)
	l := s.startTraffic(way{name: "upgrade", target: "edge." + system + ".svc.cluster.local:8080", host: "auth.acme.test"})
	time.Sleep(3 * time.Second)
	began := time.Now()
	args = append([]string{"upgrade", release, s.chart, "--namespace", system, "--wait", "--timeout=2m"}, s.images()...)
	if _, err := s.command(3*time.Minute, "", s.helm, args...); err != nil {
		s.fail("%v", err)
	}
	took := time.Since(began)
	if !s.hasLaterField() {
		s.fail("the upgrade left the old CRDs")
	}
	s.switchTo("acme-sso", tenant, 0, 99)
	s.awaitCondition(time.Minute, "acme-sso", tenant, "Ready", metav1.ConditionTrue, "")
	s.record("helm upgrade 0.0.1 to this version %.0f s; CRDs replaced, live objects Ready, a change served", took.Seconds())
	s.takeOver(system, tenant)
	l.stopClean("fleet, through the upgrade and the takeover")
	if _, err := s.command(3*time.Minute, "", s.helm, "uninstall", release, "--namespace", system, "--wait"); err != nil {
		s.fail("%v", err)
	}
	s.deleteNamespaces(s.prefix)
	s.deleteKept()
}

// takeOver changes the mode, so that the operator runs the fleet; then the user
// deletes the pods of mode External.
func (s *step) takeOver(system, tenant string) {
	s.Helper()
	s.run("patch", "callbackproxy", "edge", "-n", system, "--type=merge", "-p", `{"spec":{"mode":"Deployment"}}`)
	s.within(time.Minute, "the operator's Deployment", func() (bool, string) {
		output, err := s.tryKubectl("get", "deployment", "callback-edge", "-n", system)
		return err == nil, output + errorText(err)
	})
	s.rolledOut(2*time.Minute, "callback-edge", system)
	s.run("delete", "deployment", "edge", "-n", system)
	s.gone(system, "app=edge", 0)
	s.awaitCondition(time.Minute, "acme-sso", tenant, "Ready", metav1.ConditionTrue, "")
	s.record("the operator runs the fleet of mode External, after a change of one field")
}

func (s *step) hasLaterField() bool {
	s.Helper()
	return s.run("get", "crd", "callbackproxies.callbackproxy.io", "-o",
		`jsonpath={.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.`+laterField+`.type}`) != ""
}

// nothingLeft is for the whole cluster, after everything that went wrong too.
func nothingLeft(s *step) {
	s.cleanUp(s)
	if s.keep {
		return
	}
	all := s.listable()
	var left []string
	for _, selector := range []string{"app.kubernetes.io/instance=" + release, "app.kubernetes.io/managed-by=callback-operator", "callback-e2e"} {
		left = append(left, strings.Fields(s.run("get", all, "-A", "--ignore-not-found", "-o", "name", "-l", selector))...)
	}
	left = append(left, s.newObjects()...)
	if len(left) > 0 {
		s.Fatalf("left: %s", strings.Join(left, " "))
	}
	s.record("no object of the operator, of a release or of this suite is left in the cluster")
}
