// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

func newNamespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// Even as a cluster admin, the manager's account can write only RoleBindings of
// proxies. The policy does not restrict other accounts.
func TestT14_ManagerWritesNoForeignRoleBinding(t *testing.T) {
	cp, c := cluster(t)
	const namespace, operator = "bounded", "bounded"
	NewWithT(t).Expect(c.Create(t.Context(), newNamespace(namespace))).To(Succeed())
	objects, _, err := rendering.Render(load(t), rendering.Release{Name: operator, Namespace: namespace, Values: parse(t, "")})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for _, object := range ofKind(objects, "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ServiceAccount") {
		if strings.HasSuffix(object.Template, "/rolebindings-policy.yaml") || object.GetKind() == "ServiceAccount" {
			NewWithT(t).Expect(c.Create(t.Context(), object.Unstructured)).To(Succeed())
		}
	}
	const account = operator + "-callback-operator"
	NewWithT(t).Expect(c.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "everything-for-" + account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: account}},
	})).To(Succeed())
	config, err := cp.ServiceAccountConfig(t.Context(), namespace, account)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	manager := strictClient(t, config)

	good := func() *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "callback-proxy-edge"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: account + "-proxy"},
			Subjects: []rbacv1.Subject{
				{Kind: "ServiceAccount", Namespace: namespace, Name: "callback-edge"},
				{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "system:serviceaccounts:" + namespace},
			},
		}
	}
	write := func(by client.Client, change func(*rbacv1.RoleBinding)) error {
		binding := good()
		change(binding)
		return by.Create(t.Context(), binding, client.DryRunAll)
	}
	bad := map[string]func(*rbacv1.RoleBinding){
		"writes RoleBindings named callback-proxy-* only":  func(b *rbacv1.RoleBinding) { b.Name = "admins" },
		"binds the ClusterRole " + account + "-proxy only": func(b *rbacv1.RoleBinding) { b.RoleRef.Name = "cluster-admin" },
		"binds the ClusterRole bounded-":                   func(b *rbacv1.RoleBinding) { b.RoleRef.Kind = "Role" },
		"binds accounts of the RoleBinding's own":          func(b *rbacv1.RoleBinding) { b.Subjects[0].Namespace = "identity" },
		"binds accounts of the RoleBinding's":              func(b *rbacv1.RoleBinding) { b.Subjects[1].Name = "system:authenticated" },
		"binds accounts of the": func(b *rbacv1.RoleBinding) {
			b.Subjects[1] = rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "eve"}
		},
	}
	for message, change := range bad {
		// The API server enforces a new policy with a delay.
		NewWithT(t).Eventually(func() error { return write(manager, change) }, 30*time.Second, 100*time.Millisecond).
			Should(MatchError(ContainSubstring(message)))
		NewWithT(t).Expect(write(c, change)).To(Succeed(), "other accounts are not restricted")
	}
	NewWithT(t).Expect(write(manager, func(*rbacv1.RoleBinding) {})).To(Succeed())
	NewWithT(t).Expect(write(manager, func(b *rbacv1.RoleBinding) { b.Subjects = nil })).To(Succeed())
	expectUpdatesBound(t, manager, c, good())
}

// expectUpdatesBound checks the same rules for updates of RoleBindings.
func expectUpdatesBound(t *testing.T, manager, admin client.Client, binding *rbacv1.RoleBinding) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(manager.Create(t.Context(), binding)).To(Succeed())
	binding.Labels = map[string]string{"a": "b"}
	g.Expect(manager.Update(t.Context(), binding)).To(Succeed())
	binding.Subjects[0].Namespace = "kube-system"
	g.Expect(manager.Update(t.Context(), binding.DeepCopy())).To(MatchError(ContainSubstring("own namespace only")))

	foreign := binding.DeepCopy()
	foreign.ObjectMeta = metav1.ObjectMeta{Namespace: binding.Namespace, Name: "tenants"}
	foreign.Subjects[0].Namespace = binding.Namespace
	g.Expect(admin.Create(t.Context(), foreign)).To(Succeed())
	foreign.Labels = map[string]string{"a": "b"}
	g.Expect(manager.Update(t.Context(), foreign)).To(MatchError(ContainSubstring("named callback-proxy-* only")))
}
