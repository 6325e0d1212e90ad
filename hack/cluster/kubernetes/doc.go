// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubernetes is the go.mod beside it, which pins what of Kubernetes runs
// on a node. It is the release of hack/controlplane (build.sh sees to that),
// whose go.mod stays as it is: a change of it would have every checkout build
// its control plane again.
package kubernetes
