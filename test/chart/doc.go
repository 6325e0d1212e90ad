// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart and the kustomize bases: what they render
// with many values, whether a real API server takes it, whether its pods meet
// the Pod Security level "restricted", who may do what with the rights in it,
// and whether it installs, upgrades and uninstalls. It has a module of its own,
// as Helm's dependencies are none of ours.
package chart
