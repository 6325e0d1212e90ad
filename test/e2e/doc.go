// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs the whole system for real: etcd, kube-apiserver and
// kube-controller-manager, the manager and two proxies as processes of their
// own, two backends that remember what reached them, and kubectl as the user.
// The only place where specs wait for something to become true.
package e2e
