// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// The lease's timeout and user agent stay its own: with them, every watch of the
// cache would end after five seconds.
func TestLease_LeavesTheConfig(t *testing.T) {
	g := NewWithT(t)
	config := &rest.Config{Host: "https://api.test", UserAgent: "manager"}
	_, err := newLease(config, "default", 10*time.Second)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(config).To(Equal(&rest.Config{Host: "https://api.test", UserAgent: "manager"}))
}

// The ServiceAccount that created the lease owns it; a user's lease has no owner.
func TestLease_GoesWithItsAccount(t *testing.T) {
	g := NewWithT(t)
	ctx := t.Context()
	cp, err := fixture.StartControlPlane(ctx, fixture.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = cp.Stop() })
	admin := kubernetes.NewForConfigOrDie(cp.Config)
	account, err := admin.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "manager"}}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "manager"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "manager"}},
	}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	token, err := admin.CoreV1().ServiceAccounts("default").CreateToken(ctx, "manager", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	asManager := rest.AnonymousClientConfig(cp.Config)
	asManager.BearerToken = token.Status.Token

	for _, tc := range []struct {
		namespace string
		config    *rest.Config
		owners    []metav1.OwnerReference
	}{
		{"default", asManager, []metav1.OwnerReference{{APIVersion: "v1", Kind: "ServiceAccount", Name: "manager", UID: account.UID}}},
		{"kube-system", asManager, nil},
		{"kube-public", cp.Config, nil},
	} {
		lock, err := newLease(tc.config, tc.namespace, 10*time.Second)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(lock.Create(ctx, resourcelock.LeaderElectionRecord{HolderIdentity: lock.Identity(), LeaseDurationSeconds: 15})).To(Succeed())
		g.Expect(lock.Update(ctx, resourcelock.LeaderElectionRecord{HolderIdentity: lock.Identity(), LeaseDurationSeconds: 16})).To(Succeed())
		lease, err := admin.CoordinationV1().Leases(tc.namespace).Get(ctx, leaseName, metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(lease.OwnerReferences).To(Equal(tc.owners), tc.namespace)
		g.Expect(*lease.Spec.LeaseDurationSeconds).To(BeEquivalentTo(16))
	}
}
