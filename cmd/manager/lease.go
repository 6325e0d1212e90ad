// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseName is the same for all managers of a namespace.
const leaseName = "callback-operator.callbackproxy.io"

// newLease returns the lease by which one of several managers leads. It is our
// own, and not the framework's, as that also writes events of the core group
// about each change of the leader: a right for nothing that the lease does not
// say itself.
func newLease(config *rest.Config, namespace string, renewDeadline time.Duration) (resourcelock.Interface, error) {
	if namespace == "" {
		return nil, errors.New("find the lease's namespace: outside a cluster set --leader-elect-namespace, or --leader-elect=false")
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this manager: %w", err)
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}, config, renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("make lease: %w", err)
	}
	return lock, nil
}
