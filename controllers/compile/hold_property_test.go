// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// hold_property_test.go checks holds over random histories.

// F22: the order of objects and of the previous table's entries makes no
// difference, a second pass changes nothing, and no claim of a route that exists
// goes to another namespace unless the host was revoked or a conflict was lost.
func TestF22_HoldsInAnyOrderAndAgain(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(70, 56))
	held := 0
	for round := range 60 {
		f := newFleet(t)
		f.grantTo("login.acme.com", "team-0", "team-1", "team-2", "team-3")
		for i := range 40 {
			route := f.add(fmt.Sprintf("team-%d/r%d", random.IntN(4), i), randomPaths(random)...)
			route.Spec.Hostnames = [][]callbackv1alpha1.Hostname{{"auth.acme.com"}, {"login.acme.com"}, {"auth.acme.com", "login.acme.com"}}[random.IntN(3)]
			if random.IntN(5) == 0 {
				route.Spec.Owner = ""
			}
		}
		f.pass()
		for range 4 {
			before := f.plan.Table
			f.disturb(random)
			f.pass()
			f.keepsClaims(round, before)
			held += len(f.plan.Table.Holds)
			f.isOrderFree(random, before)
		}
	}
	if held < 500 {
		t.Errorf("%d holds: they show too little", held)
	}
}

func randomPaths(random *rand.Rand) []string {
	all := []string{"/a", "/a/*", "/a/b", "/a/b/*", "/c", "/c/d", "/c/*", "/e", "/c?x=1", "/c?x=2", "/c?x=1&y=1", "/c?y=1", "/a?x=1"}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+random.IntN(2)]
}

// disturb changes routes and grants, and lets time pass.
func (f *fleet) disturb(random *rand.Rand) {
	for _, r := range slices.Clone(f.Snapshot.Routes) {
		switch random.IntN(8) {
		case 0:
			f.remove(r.Object)
		case 1:
			r.Object.Spec.Owner = ""
		case 2:
			r.Object.Spec.Owner = "team"
		case 3:
			r.Object.Spec.Callbacks[0].Path += "x"
		}
	}
	f.grantTo("login.acme.com", []string{"team-0", "team-1", "team-2", "team-3"}[random.IntN(3):]...)
	f.Snapshot.Proxy.Spec.Policy.MaxRoutesPerNamespace = []int32{3, 1000, 1000}[random.IntN(3)]
	f.Now = f.Now.Add(time.Duration(random.IntN(8)) * time.Minute)
}

// keepsClaims checks the claims of the table before, by another way than the
// compiler: no route of another namespace has one now, unless its owner is gone
// for long, serves or lost a conflict, or the host is revoked.
func (f *fleet) keepsClaims(round int, before *routetable.Table) {
	f.Helper()
	now := map[routetable.Claim]string{}
	for i := range f.plan.Table.Routes {
		for _, claim := range f.plan.Table.Routes[i].Claims() {
			now[claim] = f.plan.Table.Routes[i].Namespace
		}
	}
	verdicts := map[string]*compile.Verdict{}
	for i := range f.plan.Verdicts {
		verdicts[string(f.plan.Verdicts[i].Route.UID)] = &f.plan.Verdicts[i]
	}
	had := slices.Clone(before.Holds)
	for i := range before.Routes {
		r := &before.Routes[i]
		had = append(had, routetable.Hold{Namespace: r.Namespace, UID: r.UID, Claims: r.Claims()})
	}
	for _, h := range had {
		v := verdicts[h.UID]
		released := !h.ReleaseTime.IsZero() && !h.ReleaseTime.After(f.Now)
		if released || v != nil && (v.Accepted.OK || v.Accepted.Reason == callbackv1alpha1.ReasonConflict) {
			continue
		}
		for _, claim := range h.Claims {
			if owner, taken := now[claim]; taken && owner != h.Namespace && !f.lost(v, claim, h.Namespace) {
				f.Errorf("round %d: %v of namespace %s went to %s", round, claim, h.Namespace, owner)
			}
		}
	}
}

// lost reports whether a claim may go to another namespace: its host is revoked,
// or an older route that changed came before the quota refused its owner.
func (f *fleet) lost(v *compile.Verdict, claim routetable.Claim, namespace string) bool {
	granted := f.Snapshot.Proxy.Spec.Hosts[1].Namespaces.Selector.MatchExpressions[0].Values
	return claim.Host == "login.acme.com" && !slices.Contains(granted, namespace) ||
		v != nil && v.Accepted.Reason == callbackv1alpha1.ReasonQuotaExceeded
}

func (f *fleet) isOrderFree(random *rand.Rand, before *routetable.Table) {
	f.Helper()
	for range 5 {
		other := f.Shuffle(random)
		shuffled := &routetable.Table{Settings: before.Settings, Routes: slices.Clone(before.Routes), Holds: slices.Clone(before.Holds)}
		random.Shuffle(len(shuffled.Routes), func(i, j int) { shuffled.Routes[i], shuffled.Routes[j] = shuffled.Routes[j], shuffled.Routes[i] })
		random.Shuffle(len(shuffled.Holds), func(i, j int) { shuffled.Holds[i], shuffled.Holds[j] = shuffled.Holds[j], shuffled.Holds[i] })
		other.Snapshot.Previous = shuffled
		plan := compile.Compile(&other.Snapshot, f.Now)
		if !reflect.DeepEqual(plan.Table, f.plan.Table) || !reflect.DeepEqual(plan.Verdicts, f.plan.Verdicts) || !plan.Next.Equal(f.plan.Next) {
			f.Fatal("another order gives another plan")
		}
	}
}
