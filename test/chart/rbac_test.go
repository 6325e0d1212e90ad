// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

// listRights returns the rights of rules, one line for each verb, sorted.
func listRights(rules []rbacv1.PolicyRule) []string {
	var lines []string
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			for _, url := range rule.NonResourceURLs {
				lines = append(lines, verb+" "+url)
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					line := strings.TrimSuffix(fmt.Sprintf("%s %s.%s", verb, resource, group), ".")
					if len(rule.ResourceNames) == 0 {
						lines = append(lines, line)
					}
					for _, name := range rule.ResourceNames {
						lines = append(lines, line+" "+name)
					}
				}
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func rulesOf(t *testing.T, object *unstructured.Unstructured) []rbacv1.PolicyRule {
	t.Helper()
	var role rbacv1.Role
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
		t.Fatal(err)
	}
	return role.Rules
}

// managerRules returns the manager's rules of one kind of role in a rendering.
func managerRules(t *testing.T, objects []rendering.Object, kind string) []rbacv1.PolicyRule {
	t.Helper()
	bound := map[string]bool{}
	for _, object := range ofKind(objects, kind+"Binding") {
		var binding rbacv1.RoleBinding
		decode(t, object, &binding)
		for _, subject := range binding.Subjects {
			if subject.Kind == "ServiceAccount" && subject.Namespace == system && subject.Name == release {
				bound[binding.Namespace+"/"+binding.RoleRef.Name] = true
			}
		}
	}
	var rules []rbacv1.PolicyRule
	for _, object := range ofKind(objects, kind) {
		if bound[object.GetNamespace()+"/"+object.GetName()] {
			rules = append(rules, rulesOf(t, object.Unstructured)...)
		}
	}
	return rules
}

// generatedRules returns the rules that are generated from the code, with the
// chart's name for the proxies' role.
func generatedRules(t *testing.T, kind string) []rbacv1.PolicyRule {
	t.Helper()
	var rules []rbacv1.PolicyRule
	for _, object := range readConfig(t, "rbac/role.yaml") {
		if object.GetKind() == kind {
			rules = append(rules, rulesOf(t, object)...)
		}
	}
	for _, rule := range rules {
		for i, name := range rule.ResourceNames {
			if name == "callback-proxy" {
				rule.ResourceNames[i] = release + "-proxy"
			}
		}
	}
	return rules
}

func TestRights_AreThoseGeneratedFromTheCode(t *testing.T) {
	g := NewWithT(t)
	objects := render(t, "")
	g.Expect(listRights(managerRules(t, objects, "ClusterRole"))).To(Equal(listRights(generatedRules(t, "ClusterRole"))))
	g.Expect(listRights(managerRules(t, objects, "Role"))).To(Equal(listRights(generatedRules(t, "Role"))))
	for _, object := range readConfig(t, "rbac/accounts.yaml") {
		if object.GetName() != "callback-proxy" || (object.GetKind() != "ClusterRole" && object.GetKind() != "Role") {
			continue
		}
		for _, role := range ofKind(objects, "ClusterRole") {
			if role.GetName() == release+"-proxy" {
				g.Expect(listRights(rulesOf(t, role.Unstructured))).To(Equal(listRights(rulesOf(t, object))))
			}
		}
	}
}

// With scope namespaces the manager has the same rights in those namespaces. The
// only cluster-wide rights are those to authenticate and authorize scrapes.
func TestRights_OfScopeNamespacesAreRoles(t *testing.T) {
	g := NewWithT(t)
	const values = "scope: namespaces\nnamespaces: [tenant-a, tenant-b]\n"
	objects := render(t, values)
	scrapers := []string{"create subjectaccessreviews.authorization.k8s.io", "create tokenreviews.authentication.k8s.io"}
	g.Expect(listRights(managerRules(t, objects, "ClusterRole"))).To(Equal(scrapers))

	elsewhere := append([]string{"get namespaces", "list namespaces", "watch namespaces"}, scrapers...)
	wanted := slices.DeleteFunc(listRights(slices.Concat(generatedRules(t, "ClusterRole"), generatedRules(t, "Role"))),
		func(line string) bool { return slices.Contains(elsewhere, line) })
	g.Expect(listRights(managerRules(t, objects, "Role"))).To(Equal(wanted))
	for _, namespace := range []string{"tenant-a", "tenant-b", system} {
		g.Expect(slices.ContainsFunc(ofKind(objects, "RoleBinding"), func(o rendering.Object) bool {
			return o.GetNamespace() == namespace && o.GetName() == release+"-routes"
		})).To(BeTrue(), namespace)
	}
	g.Expect(managerRules(t, render(t, values+"metrics: {secure: false}"), "ClusterRole")).To(BeEmpty())
}

// No values produce a role with a wildcard, with access to Secrets or with
// another right that could be used to gain more.
func TestRoles_NameEveryVerbAndNoSecrets(t *testing.T) {
	eachScenario(t, func(t *testing.T, objects []rendering.Object) {
		t.Helper()
		g := NewWithT(t)
		for _, object := range ofKind(objects, "ClusterRole", "Role") {
			for _, line := range listRights(rulesOf(t, object.Unstructured)) {
				g.Expect(line).NotTo(ContainSubstring("*"), object.GetName())
				g.Expect(line).NotTo(ContainSubstring(" secrets"), object.GetName())
				g.Expect(line).NotTo(MatchRegexp("^(impersonate|escalate|approve|sign) "), object.GetName())
				g.Expect(line).NotTo(MatchRegexp(" (pods/exec|nodes|.*webhookconfigurations)"), object.GetName())
			}
		}
	})
}

func TestRoles_AreAggregatedOnPurposeOnly(t *testing.T) {
	g := NewWithT(t)
	aggregated := func(values string) map[string][]string {
		found := map[string][]string{}
		for _, object := range ofKind(render(t, values), "ClusterRole") {
			for label := range object.GetLabels() {
				if into, is := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-"); is {
					found[object.GetName()] = append(found[object.GetName()], into)
				}
			}
		}
		return found
	}
	g.Expect(aggregated("")).To(Equal(map[string][]string{release + "-view": {"view"}}))
	g.Expect(aggregated("rbac: {aggregate: {view: false, edit: admin}}")).To(Equal(map[string][]string{release + "-edit": {"admin"}}))
	g.Expect(aggregated("rbac: {aggregate: {view: false, edit: edit}}")).To(Equal(map[string][]string{release + "-edit": {"edit"}}))
}
