// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

// fleet_test.go runs passes over a fleet, each on the table of the one before.

// fleet is a CallbackProxy with hosts that are granted to all namespaces, and its
// passes: each takes the table of the one before.
type fleet struct {
	testing.TB
	*scenario.Scenario
	model *callbackv1alpha1.CallbackRoute
	plan  *compile.Plan
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	s := scenario.Load(t, "../status/testdata/minimal.in.yaml")
	f := &fleet{TB: t, Scenario: s, model: s.Snapshot.Routes[0].Object}
	s.Snapshot.Routes = nil
	s.Snapshot.Proxy.Spec.Hosts = nil
	for _, host := range []callbackv1alpha1.Hostname{"auth.acme.com", "login.acme.com"} {
		f.grant(host, callbackv1alpha1.HostNamespaces{From: callbackv1alpha1.NamespacesFromAll})
	}
	return f
}

// grant replaces the grant of a host.
func (f *fleet) grant(host callbackv1alpha1.Hostname, namespaces callbackv1alpha1.HostNamespaces) {
	hosts := &f.Snapshot.Proxy.Spec.Hosts
	*hosts = slices.DeleteFunc(*hosts, func(h callbackv1alpha1.ProxyHost) bool { return h.Hostname == host })
	*hosts = append(*hosts, callbackv1alpha1.ProxyHost{Hostname: host, Namespaces: namespaces})
}

// grantTo replaces the grant of a host by one to some namespaces.
func (f *fleet) grantTo(host callbackv1alpha1.Hostname, namespaces ...string) {
	f.grant(host, callbackv1alpha1.HostNamespaces{From: callbackv1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: namespaces}},
	}})
}

// add creates a route; routes that are added later are younger. A path that ends
// with /* is a Prefix.
func (f *fleet) add(name string, paths ...string) *callbackv1alpha1.CallbackRoute {
	f.Helper()
	route := f.model.DeepCopy()
	route.Namespace, route.Name, _ = strings.Cut(name, "/")
	route.UID = types.UID(fmt.Sprintf("%s.%d", strings.ReplaceAll(name, "/", "."), f.Now.Unix()))
	route.CreationTimestamp = metav1.NewTime(f.Now)
	f.Now = f.Now.Add(time.Second)
	route.Spec.Hostnames = []callbackv1alpha1.Hostname{"auth.acme.com"}
	route.Spec.Callbacks = nil
	for i, path := range paths {
		path, query, _ := strings.Cut(path, "?")
		callback := callbackv1alpha1.Callback{Name: fmt.Sprint("c", i), Path: callbackv1alpha1.CallbackPath(path)}
		for _, p := range routetable.Query(query).Parameters() {
			callback.Query = append(callback.Query, callbackv1alpha1.QueryParameter{Name: p.Name, Value: p.Value})
		}
		if prefix, is := strings.CutSuffix(path, "/*"); is {
			callback.Path, callback.PathType = callbackv1alpha1.CallbackPath(prefix), callbackv1alpha1.PathPrefix
		}
		route.Spec.Callbacks = append(route.Spec.Callbacks, callback)
	}
	f.AddRoute(compile.Route{Object: route})
	return route
}

// remove deletes a route.
func (f *fleet) remove(route *callbackv1alpha1.CallbackRoute) {
	f.Snapshot.Routes = slices.DeleteFunc(f.Snapshot.Routes, func(r compile.Route) bool { return r.Object == route })
}

// pass compiles, checks that a second pass over the result gives the same bytes,
// and publishes the table.
func (f *fleet) pass() {
	f.Helper()
	f.plan = compile.Compile(&f.Snapshot, f.Now)
	index := encode(f, f.plan.Table)
	f.Snapshot.Previous = f.plan.Table
	again := compile.Compile(&f.Snapshot, f.Now)
	if encode(f, again.Table) != index || !reflect.DeepEqual(again.Verdicts, f.plan.Verdicts) || !again.Next.Equal(f.plan.Next) {
		f.Errorf("a second pass gives another plan:\n%+v\n%+v", f.plan.Table.Holds, again.Table.Holds)
		for i := range again.Verdicts {
			if was, is := f.plan.Verdicts[i].Accepted, again.Verdicts[i].Accepted; was != is {
				f.Errorf("%+v\n%+v", was, is)
			}
		}
	}
}

func encode(t testing.TB, table *routetable.Table) string {
	t.Helper()
	encoded, err := routetable.Encode(table, 4<<10)
	if err != nil {
		t.Fatalf("the table cannot be published: %v", err)
	}
	return encoded.Index.Hash
}

// verdict returns the verdict of the last pass on a route.
func (f *fleet) verdict(route *callbackv1alpha1.CallbackRoute) *compile.Verdict {
	f.Helper()
	for i := range f.plan.Verdicts {
		if v := &f.plan.Verdicts[i]; v.Route == route {
			return v
		}
	}
	f.Fatalf("no verdict on %s", route.Name)
	return nil
}

// wants checks what the instances do with a path: "ns/name" serves it, "503
// ns/name" holds it for that route, "" is nothing.
func (f *fleet) wants(step, path, want string) {
	f.Helper()
	got := ""
	raw, query, _ := strings.Cut(path, "?")
	if match, found := routetable.NewMatcher(f.plan.Table).Match("auth.acme.com", raw, query); found {
		if match.Hold != nil {
			got = "503 " + match.Hold.ID()
		} else {
			got = match.Route.ID()
		}
	}
	if got != want {
		f.Errorf("%s: %s is %q, want %q", step, path, got, want)
	}
}

// expectRefusal checks that the last pass refused a route with a reason, and that the
// message contains some texts.
func (f *fleet) expectRefusal(route *callbackv1alpha1.CallbackRoute, reason string, texts ...string) {
	f.Helper()
	v := f.verdict(route)
	if v.Accepted.OK || v.Accepted.Reason != reason {
		f.Errorf("%s/%s: %+v, want reason %s", route.Namespace, route.Name, v.Accepted, reason)
	}
	for _, text := range texts {
		if !strings.Contains(v.Accepted.Message, text) {
			f.Errorf("%s/%s: the message %q does not contain %q", route.Namespace, route.Name, v.Accepted.Message, text)
		}
	}
}
