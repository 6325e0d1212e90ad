// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseName is the same for all managers of a namespace.
const leaseName = "callback-operator.callbackproxy.io"

// newLease returns the lease by which one of several managers leads. The
// framework's own lease has two disadvantages: it needs the right to write core
// events about each change of the leader, which the lease itself shows; and it
// stays when the operator is uninstalled.
func newLease(config *rest.Config, namespace string, renewDeadline time.Duration) (resourcelock.Interface, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this manager: %w", err)
	}
	config = rest.AddUserAgent(rest.CopyConfig(config), "leader-election") // which changes its argument
	config.Timeout = max(renewDeadline/2, time.Second)                     // one request that hangs does not cost the leadership
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make client for the lease: %w", err)
	}
	return &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: leaseName},
		Client:     ownedLeases{clients},
		LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
	}, nil
}

// ownedLeases creates leases that the manager's ServiceAccount owns, so that they
// are deleted with it.
type ownedLeases struct{ clients kubernetes.Interface }

// Leases returns the client of a namespace.
func (o ownedLeases) Leases(namespace string) coordinationclient.LeaseInterface {
	return ownedLeasesOf{o.clients.CoordinationV1().Leases(namespace), o.clients, namespace}
}

type ownedLeasesOf struct {
	coordinationclient.LeaseInterface
	clients   kubernetes.Interface
	namespace string
}

// Create creates a lease with its owner, where there is one.
func (o ownedLeasesOf) Create(ctx context.Context, lease *coordinationv1.Lease, options metav1.CreateOptions) (*coordinationv1.Lease, error) {
	lease.OwnerReferences = o.owner(ctx)
	return o.LeaseInterface.Create(ctx, lease, options)
}

// owner returns the ServiceAccount that this manager uses, as the API server
// reports it; nil when it is none of the lease's namespace.
func (o ownedLeasesOf) owner(ctx context.Context) []metav1.OwnerReference {
	review, err := o.clients.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return nil
	}
	user := review.Status.UserInfo
	name, is := strings.CutPrefix(user.Username, "system:serviceaccount:"+o.namespace+":")
	if !is || user.UID == "" {
		return nil
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "ServiceAccount", Name: name, UID: types.UID(user.UID)}}
}
