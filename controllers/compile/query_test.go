// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile_test

import (
	"fmt"
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// query_test.go: callbacks of one path that queries tell apart.

// W38: routes of any namespaces share a path when no request can mean both.
func TestW38_QueriesThatExcludeEachOther(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.add("identity/a", "/ajax?action=a")
	f.add("partners/b", "/ajax?action=b")
	f.add("partners/tenants", "/ajax?action=c&tenant=1", "/ajax?action=c&tenant=2")
	f.pass()
	f.wants("a", "/ajax?code=1&action=a", "identity/a")
	f.wants("b", "/ajax?action=b", "partners/b")
	f.wants("tenants", "/ajax?tenant=2&action=c", "partners/tenants")
	f.wants("none", "/ajax?action=d", "")
}

// W38: with as many parameters the oldest wins, with more the more specific one; a
// route of another namespace takes no part of an older route's requests.
func TestW38_QueriesThatOverlap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		older, younger, another string
		refused                 string // of the younger one, empty: it is accepted
		ofAnother               string
	}{
		{"/p?a=1", "/p?a=1", "/p?a=1", "Exact /p with query a=1", "Exact /p with query a=1"},
		{"/p?a=1", "/p?b=1", "/p?b=1", "Exact /p with query a=1", "Exact /p with query a=1"},
		{"/p?a=1&b=1", "/p?b=1&c=1", "/p?b=1&c=1", "Exact /p with query a=1&b=1", "Exact /p with query a=1&b=1"},
		{"/p?a=1", "/p?a=1&b=1", "/p?a=1&b=2", "", "Exact /p with query a=1"},
		{"/p?a=1", "/p?b=1&c=1", "/p?b=1&c=2", "", "Exact /p with query a=1"},
		{"/p", "/p?a=1", "/p?a=2", "", "Exact /p"},
		{"/p/*", "/p/x?a=1", "/p/x?a=2", "", "Prefix /p"},
		{"/p?a=1&b=1", "/p?a=1", "/p?a=2", "", ""},
		{"/p?a=1", "/p", "/p/*", "", ""},
	} {
		t.Run(fmt.Sprint(tc.older, " ", tc.younger, " ", tc.another), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			f.add("identity/older", tc.older)
			younger := f.add("identity/younger", tc.younger)
			another := f.add("partners/another", tc.another)
			f.pass()
			for route, refused := range map[*callbackv1alpha1.CallbackRoute]string{younger: tc.refused, another: tc.ofAnother} {
				if refused != "" {
					f.expectRefusal(route, callbackv1alpha1.ReasonConflict, "callback c0: "+refused+" on host auth.acme.com belongs to CallbackRoute identity/older")
				} else if v := f.verdict(route); !v.Accepted.OK {
					f.Errorf("%s is refused: %s", route.Name, v.Accepted.Message)
				}
			}
		})
	}
}

// W38, F70: a hold keeps the query of its claims, and no more than those requests.
func TestW38_HoldsKeepTheQuery(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	live := f.add("identity/live", "/ajax?action=a")
	f.pass()
	live.Spec.Owner = ""
	same := f.add("partners/same", "/ajax?action=a")
	overlapping := f.add("partners/overlapping", "/ajax?tenant=1")
	specific := f.add("partners/specific", "/ajax?action=a&tenant=1")
	f.add("partners/other", "/ajax?action=b&tenant=2")
	f.pass()
	f.wants("held", "/ajax?action=a&code=1", "503 identity/live")
	f.wants("other", "/ajax?action=b&code=1&tenant=2", "partners/other")
	f.wants("none", "/ajax?code=1", "")
	for _, route := range []*callbackv1alpha1.CallbackRoute{same, overlapping, specific} {
		f.expectRefusal(route, callbackv1alpha1.ReasonConflict, "Exact /ajax with query action=a on host auth.acme.com is held for CallbackRoute identity/live")
	}
	live.Spec.Owner = "team"
	f.pass()
	f.wants("accepted again", "/ajax?action=a", "identity/live")
}

// One namespace cannot make a path cost more than some hundred callbacks do.
func TestW38_CallbacksOfAPathAreLimited(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for i := range 17 {
		var paths []string
		for j := range 15 {
			paths = append(paths, fmt.Sprintf("/ajax?action=%d", 100*i+j))
		}
		f.add(fmt.Sprint("identity/r", i), paths...)
	}
	f.add("identity/last", "/ajax?action=last") // the 256th
	crowded := f.add("identity/crowded", "/ajax?action=crowded")
	f.add("identity/elsewhere", "/other?action=a")
	f.pass()
	f.wants("within the limit", "/ajax?action=last", "identity/last")
	f.wants("above the limit", "/ajax?action=crowded", "")
	f.wants("elsewhere", "/other?action=a", "identity/elsewhere")
	f.expectRefusal(crowded, callbackv1alpha1.ReasonConflict, "callback c0: 256 callbacks on host auth.acme.com have a query and the path /ajax")
}
