// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import "testing"

func TestScope(t *testing.T) {
	all, some := Scope{ProxyNamespaces: []string{"edge"}}, Scope{WatchNamespaces: []string{"identity"}, ProxyNamespaces: []string{"edge"}}
	if !all.Watches("any") || !all.Manages("edge") || all.Manages("any") {
		t.Error("without WatchNamespaces the manager reads all namespaces")
	}
	if some.Watches("edge") || !some.Watches("identity") || some.Manages("edge") {
		t.Error("the manager manages no namespace that it does not read")
	}
}
