// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// F70: a mistyped year in a live route does not hand its callback to a waiting
// route of another namespace; once it is corrected, the callback is served again.
func TestF70_AMistypedYearKeepsTheCallback(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	live := f.add("identity/live", "/cb")
	neighbour := f.add("partners/neighbour", "/cb")
	f.pass()
	f.wants("before", "/cb", "identity/live")

	sunset := live.Spec.SunsetTime
	live.Spec.SunsetTime = metav1.NewTime(sunset.AddDate(1000, 0, 0))
	f.pass()
	f.wants("mistyped", "/cb", "503 identity/live")
	f.expectRefusal(live, callbackv1alpha1.ReasonLifetimeExceedsPolicy, "until the route is accepted again its callbacks get 503")
	f.expectRefusal(neighbour, callbackv1alpha1.ReasonConflict, "callback c0", "Exact /cb", "auth.acme.com", "is held for CallbackRoute identity/live", "ask its owner to correct or delete it")
	if len(f.plan.Table.Holds) != 1 || !f.plan.Table.Holds[0].ReleaseTime.IsZero() {
		t.Errorf("holds are %+v", f.plan.Table.Holds)
	}

	f.Now = f.Now.AddDate(0, 0, 1)
	f.pass()
	f.wants("a day later", "/cb", "503 identity/live")

	live.Spec.SunsetTime = sunset
	f.pass()
	f.wants("corrected", "/cb", "identity/live")
}

// Every refusal but a conflict keeps the callbacks, also of an object that cannot
// be decoded.
func TestF70_EveryOtherRefusalKeepsTheCallback(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		damage func(*fleet, *callbackv1alpha1.CallbackRoute)
		reason string
	}{
		"owner":       {func(_ *fleet, r *callbackv1alpha1.CallbackRoute) { r.Spec.Owner = "" }, callbackv1alpha1.ReasonOwnerRequired},
		"afterSunset": {func(_ *fleet, r *callbackv1alpha1.CallbackRoute) { r.Spec.AfterSunset = "Serve" }, callbackv1alpha1.ReasonAfterSunsetNotAllowed},
		"invalid":     {func(_ *fleet, r *callbackv1alpha1.CallbackRoute) { r.Spec.Protocol = "Magic" }, callbackv1alpha1.ReasonInvalid},
		"undecodable": {func(f *fleet, r *callbackv1alpha1.CallbackRoute) {
			r.Spec = callbackv1alpha1.CallbackRouteSpec{}
			f.Snapshot.Routes[0].DecodeError = "parsing time"
		}, callbackv1alpha1.ReasonUndecodable},
		"policy": {func(f *fleet, _ *callbackv1alpha1.CallbackRoute) { f.Snapshot.Proxy.Spec.Policy.MaxLifetimeDays = 1 }, callbackv1alpha1.ReasonLifetimeExceedsPolicy},
		"a host more": {func(_ *fleet, r *callbackv1alpha1.CallbackRoute) {
			r.Spec.Hostnames = append(r.Spec.Hostnames, "other.acme.com")
		}, callbackv1alpha1.ReasonHostNotAllowed},
		"the path moved": {func(_ *fleet, r *callbackv1alpha1.CallbackRoute) {
			r.Spec.Callbacks[0].Path, r.Spec.Owner = "/moved", ""
		}, callbackv1alpha1.ReasonOwnerRequired},
	} {
		f := newFleet(t)
		live := f.add("identity/live", "/cb")
		f.pass()
		tc.damage(f, live)
		neighbour := f.add("partners/neighbour", "/cb")
		neighbour.Spec.SunsetTime = metav1.NewTime(f.Now.Add(time.Hour))
		f.pass()
		f.wants(name, "/cb", "503 identity/live")
		f.expectRefusal(live, tc.reason)
		f.expectRefusal(neighbour, callbackv1alpha1.ReasonConflict)
	}
}

// A quota that is lowered below the routes of a namespace keeps the callbacks of
// the youngest ones.
func TestF70_ALoweredQuotaKeepsTheCallback(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.add("identity/first", "/a")
	second := f.add("identity/second", "/b")
	f.pass()
	f.Snapshot.Proxy.Spec.Policy.MaxRoutesPerNamespace = 1
	neighbour := f.add("partners/neighbour", "/b")
	f.pass()
	f.wants("lowered", "/a", "identity/first")
	f.wants("lowered", "/b", "503 identity/second")
	f.expectRefusal(second, callbackv1alpha1.ReasonQuotaExceeded, "get 503")
	f.expectRefusal(neighbour, callbackv1alpha1.ReasonConflict, "identity/second")
}

// A route that was never accepted holds nothing, and neither does one that loses a
// conflict.
func TestHold_OnlyOfAcceptedRoutes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	never := f.add("identity/never", "/cb")
	never.Spec.Owner = ""
	f.pass()
	f.wants("never accepted", "/cb", "")
	neighbour := f.add("partners/neighbour", "/cb")
	f.pass()
	f.wants("never accepted", "/cb", "partners/neighbour")
	f.remove(never)
	f.pass()
	f.wants("deleted", "/cb", "partners/neighbour")

	neighbour.Spec.Callbacks = append(neighbour.Spec.Callbacks, callbackv1alpha1.Callback{Name: "more", Path: "/taken"})
	f.add("identity/other", "/taken")
	f.pass() // the change comes before the new route
	f.wants("changed", "/taken", "partners/neighbour")
	neighbour.Spec.Callbacks = neighbour.Spec.Callbacks[:1]
	f.pass()
	f.wants("changed back", "/taken", "identity/other")
	neighbour.Spec.Callbacks = append(neighbour.Spec.Callbacks, callbackv1alpha1.Callback{Name: "more", Path: "/taken"})
	f.pass()
	f.expectRefusal(neighbour, callbackv1alpha1.ReasonConflict, "callback more", "identity/other", "serves it already")
	f.wants("lost the conflict", "/cb", "")
	if len(f.plan.Table.Holds) > 0 {
		t.Errorf("a lost conflict is held: %+v", f.plan.Table.Holds)
	}
}

// A callback that is served does not go to an older route of another namespace
// that becomes acceptable later.
func TestF70_AnOlderRouteDoesNotTakeWhatIsServed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	older := f.add("partners/older", "/cb")
	older.Spec.Owner = ""
	live := f.add("identity/live", "/cb")
	f.pass()
	f.wants("before", "/cb", "identity/live")
	older.Spec.Owner = "team"
	f.pass()
	f.wants("corrected", "/cb", "identity/live")
	f.expectRefusal(older, callbackv1alpha1.ReasonConflict, "identity/live", "serves it already")
	f.Snapshot.Previous = nil
	f.pass()
	f.wants("without a previous table", "/cb", "partners/older")
	f.expectRefusal(live, callbackv1alpha1.ReasonConflict, "partners/older", "is older")
}

// W56: the callback of a deleted route does not go to a waiting route of another
// namespace for ten minutes, and then it does.
func TestW56_ADeletedRouteIsHeldForTenMinutes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	live := f.add("identity/live", "/cb")
	neighbour := f.add("partners/neighbour", "/cb")
	f.pass()
	f.remove(live)
	f.Now = f.Now.Add(300 * time.Millisecond)
	release := f.Now.Truncate(time.Second).Add(10 * time.Minute)
	f.pass()
	f.wants("deleted", "/cb", "503 identity/live")
	f.expectRefusal(neighbour, callbackv1alpha1.ReasonConflict, "is deleted, until "+compile.FormatTime(release), "wait until then")
	if !f.plan.Next.Equal(release) {
		t.Errorf("the next pass is at %v, want %v", f.plan.Next, release)
	}
	f.Now = release.Add(-time.Nanosecond)
	f.pass()
	f.wants("ten minutes later", "/cb", "503 identity/live")
	f.Now = release
	f.pass()
	f.wants("released", "/cb", "partners/neighbour")
	if len(f.plan.Table.Holds) > 0 {
		t.Errorf("a released hold is left: %+v", f.plan.Table.Holds)
	}
}

// A route that is being deleted is gone, and so is one that names another
// CallbackProxy; one that comes back is served again.
func TestW56_BeingDeletedIsGone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	live := f.add("identity/live", "/cb")
	f.pass()
	now := metav1.NewTime(f.Now)
	live.DeletionTimestamp = &now
	f.pass()
	f.wants("being deleted", "/cb", "503 identity/live")
	live.DeletionTimestamp = nil
	f.pass()
	f.wants("back", "/cb", "identity/live")
	live.Spec.Owner = ""
	f.remove(live)
	f.pass()
	f.Snapshot.Routes = append(f.Snapshot.Routes, compile.Route{Object: live})
	f.pass()
	f.wants("back and refused", "/cb", "503 identity/live")
	if len(f.plan.Table.Holds) != 1 || !f.plan.Table.Holds[0].ReleaseTime.IsZero() {
		t.Errorf("holds are %+v", f.plan.Table.Holds)
	}
}

// A rename within a namespace takes over at once, whichever of create and delete
// comes first, also while an older route of another namespace waits.
func TestW56_ARenameTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	before := f.add("identity/before", "/cb")
	waiting := f.add("partners/waiting", "/cb")
	f.pass()
	after := f.add("identity/after", "/cb")
	f.pass()
	f.expectRefusal(after, callbackv1alpha1.ReasonConflict, "identity/before")
	f.remove(before)
	f.pass()
	f.wants("created, then deleted", "/cb", "identity/after")

	f.remove(after)
	f.pass()
	f.wants("deleted", "/cb", "503 identity/after")
	f.add("identity/again", "/cb")
	f.pass()
	f.wants("deleted, then created", "/cb", "identity/again")
	f.expectRefusal(waiting, callbackv1alpha1.ReasonConflict, "belongs to CallbackRoute identity/again", "serves it already")
	if len(f.plan.Table.Holds) > 0 {
		t.Errorf("a claim that was taken over is held: %+v", f.plan.Table.Holds)
	}
}

// A host that is taken from a namespace is held, and yields to a route of a
// namespace that has it now.
func TestF70_ARevokedHostYieldsToItsNewHolder(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	live := f.add("identity/live", "/cb")
	live.Spec.Hostnames = append(live.Spec.Hostnames, "login.acme.com")
	f.AddNamespace("partners", nil)
	f.pass()
	f.grantTo("auth.acme.com", "partners")
	f.pass()
	f.wants("revoked", "/cb", "503 identity/live")
	f.expectRefusal(live, callbackv1alpha1.ReasonHostNotAllowed, "does not grant host auth.acme.com", "get 503")
	if want := []compile.LostHost{{Host: "auth.acme.com", Routes: 1}}; !slices.Equal(f.plan.LostHosts, want) {
		t.Errorf("lost hosts are %+v, want %+v", f.plan.LostHosts, want)
	}
	f.add("partners/new", "/cb")
	f.pass()
	f.wants("the new holder", "/cb", "partners/new")
	other := f.add("partners/other-host", "/cb")
	other.Spec.Hostnames = []callbackv1alpha1.Hostname{"login.acme.com"}
	f.pass()
	f.expectRefusal(other, callbackv1alpha1.ReasonConflict, "host login.acme.com is held for CallbackRoute identity/live")
}

// The labels of a namespace may be gone with its last route: its holds do not
// yield because of that.
func TestW56_AnUnknownNamespaceKeepsItsHolds(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.AddNamespace("partners", nil)
	f.grantTo("auth.acme.com", "identity", "partners")
	live := f.add("identity/live", "/cb")
	f.pass()
	f.remove(live)
	delete(f.Snapshot.Namespaces, "identity")
	f.add("partners/new", "/cb")
	f.pass()
	f.wants("deleted with its namespace", "/cb", "503 identity/live")
}

// A held Prefix covers what is below it, as an accepted one does, but not what a
// route of another namespace served there before.
func TestHold_CoversWhatIsBelowAPrefix(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.add("partners/deep", "/saml/deep")
	live := f.add("identity/live", "/saml/*")
	f.pass()
	live.Spec.Owner = ""
	below := f.add("partners/below", "/saml/acs")
	own := f.add("identity/own", "/saml/own")
	f.pass()
	f.wants("held", "/saml/acs", "503 identity/live")
	f.wants("served before", "/saml/deep", "partners/deep")
	f.wants("of the same namespace", "/saml/own", "identity/own")
	f.expectRefusal(below, callbackv1alpha1.ReasonConflict, "callback c0", "Prefix /saml")
	if v := f.verdict(own); !v.Accepted.OK {
		t.Errorf("%+v", v.Accepted)
	}
}

// A route claims all of its callbacks or none.
func TestConflict_OneCallbackRefusesTheWholeRoute(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.add("identity/first", "/a")
	second := f.add("partners/second", "/b", "/a", "/c")
	f.pass()
	f.expectRefusal(second, callbackv1alpha1.ReasonConflict, "callback c1", "Exact /a", "host auth.acme.com", "identity/first", "all its callbacks or not at all")
	f.wants("refused", "/b", "")
	f.wants("refused", "/c", "")
}

// Creating and deleting routes cannot fill the table: at most 1,000 holds of
// deleted routes are kept for each namespace, the latest.
func TestW56_HoldsOfDeletedRoutesAreBounded(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.Snapshot.Proxy.Spec.Policy.MaxRoutesPerNamespace = 5000
	f.add("partners/one", "/one")
	for i := range 1200 {
		f.add(fmt.Sprint("identity/r", i), fmt.Sprint("/r/", i))
	}
	f.pass()
	for i, last := range []int{900, 1200} { // deleted in two steps, a minute apart
		for _, r := range slices.Clone(f.Snapshot.Routes) {
			var n int
			if _, err := fmt.Sscanf(r.Object.Name, "r%d", &n); err == nil && n < last || r.Object.Name == "one" && i == 0 {
				f.remove(r.Object)
			}
		}
		f.Now = f.Now.Add(time.Minute)
		f.pass()
	}
	held := map[string]int{}
	for _, hold := range f.plan.Table.Holds {
		held[hold.Namespace]++
	}
	if held["identity"] != 1000 || held["partners"] != 1 {
		t.Errorf("%v are held", held)
	}
	for n := 900; n < 1200; n++ {
		f.wants("deleted last", fmt.Sprint("/r/", n), fmt.Sprint("503 identity/r", n))
	}
}

// Without a previous table, and without a CallbackProxy, nothing is held.
func TestHold_NeedsAPreviousTableAndAProxy(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	live := f.add("identity/live", "/cb")
	f.pass()
	live.Spec.Owner = ""
	f.Snapshot.Previous = nil
	f.pass()
	if len(f.plan.Table.Holds) > 0 {
		t.Errorf("holds without a previous table: %+v", f.plan.Table.Holds)
	}
	live.Spec.Owner = "team"
	f.pass()
	f.Snapshot.Proxy = nil
	if plan := compile.Compile(&f.Snapshot, f.Now); plan.Table != nil || strings.Contains(plan.Verdicts[0].Accepted.Message, "503") {
		t.Errorf("without a CallbackProxy: %+v", plan)
	}
}
