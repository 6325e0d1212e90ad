// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

// F22, T2: 1,000 orders of the same objects give the same bytes, the same
// hash and the same word for every route. Many of them want the same callback,
// many were created in the same second.
func TestF22_T2_AnyOrderOfObjectsGivesTheSameResult(t *testing.T) {
	t.Parallel()
	s := crowd(t)
	want, wantStatuses := verdict(t, s), statuses(t, s)
	if accepted := strings.Count(want, "\naccepted "); accepted < 10 || accepted > 40 {
		t.Fatalf("%d routes are accepted: the orders show too little", accepted)
	}
	random := rand.New(rand.NewPCG(22, 2))
	for i := range 1000 {
		other := s.Shuffle(random)
		if got := verdict(t, other); got != want {
			t.Fatalf("order %d gives another result:\n%s", i, diff(want, got))
		}
		if i%20 > 0 {
			continue // they take longer, and follow from the result
		}
		if got := statuses(t, other); got != wantStatuses {
			t.Fatalf("order %d gives other statuses:\n%s", i, diff(wantStatuses, got))
		}
	}
}

// The same for every golden file, as small as it is.
func TestF22_GoldenFilesInAnyOrder(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(22, 3))
	for _, file := range files {
		s := scenario.Load(t, file)
		want := verdict(t, s) + statuses(t, s)
		for range 20 {
			other := s.Shuffle(random)
			if got := verdict(t, other) + statuses(t, other); got != want {
				t.Errorf("%s in another order:\n%s", file, diff(want, got))
				break
			}
		}
	}
}

// crowd is 50 routes of four namespaces that want a dozen callbacks, exact and
// nested, with three creation times among them.
func crowd(t testing.TB) *scenario.Scenario {
	t.Helper()
	s := scenario.Load(t, "testdata/nested-prefix.in.yaml")
	random := rand.New(rand.NewPCG(7, 7))
	models := slices.DeleteFunc(slices.Clone(s.Snapshot.Routes), func(r compile.Route) bool { return r.Object.Name == "everything" })
	s.Snapshot.Routes = nil
	for i := range 50 {
		route := models[random.IntN(len(models))].Object.DeepCopy()
		route.Namespace = fmt.Sprintf("team-%d", random.IntN(4))
		route.Name = fmt.Sprintf("route-%d", i)
		route.UID = ""
		path := string(route.Spec.Callbacks[0].Path)
		route.Spec.Callbacks[0].Path = callbackv1alpha1.CallbackPath(strings.Replace(path, "/saml", fmt.Sprint("/saml", random.IntN(5)), 1))
		route.CreationTimestamp.Time = s.Now.AddDate(0, -1, random.IntN(3))
		route.Spec.Hostnames = [][]callbackv1alpha1.Hostname{{"auth.acme.com"}, {"login.acme.com"}, {"login.acme.com", "auth.acme.com"}}[random.IntN(3)]
		if random.IntN(10) == 0 {
			route.Spec.Owner = ""
		}
		if random.IntN(4) == 0 {
			route.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: "partner is late"}
		}
		s.AddRoute(compile.Route{Object: route})
	}
	s.Snapshot.Proxy.Spec.Policy.SunsetWarningDays = []int32{60, 45, 30, 7}
	s.Fleet = scenario.RandomFleet(random, s)
	return s
}

// verdict is everything that a pass decides, as text.
func verdict(t testing.TB, s *scenario.Scenario) string {
	t.Helper()
	result := compile.Compile(&s.Snapshot, s.Now)
	var b strings.Builder
	if result.Table != nil {
		encoded, err := routetable.Encode(result.Table, 4<<10)
		if err != nil {
			t.Fatalf("the table cannot be published: %v", err)
		}
		fmt.Fprintln(&b, encoded.Index.Hash, encoded.Index.Data)
		for _, shard := range encoded.Shards {
			fmt.Fprintln(&b, shard.Data)
		}
	}
	fmt.Fprintln(&b, "next", result.Next)
	for i := range result.Verdicts {
		v := &result.Verdicts[i]
		word := "refused"
		if v.Accepted.OK {
			word = "accepted"
		}
		fmt.Fprintln(&b, word, v.Route.Namespace+"/"+v.Route.Name, v.Accepted, v.ResolvedRefs, v.Phase, v.Warning, v.LatestSunset, v.NoEndpoints)
	}
	return b.String()
}

// statuses is everything that is written of a pass, as text.
func statuses(t testing.TB, s *scenario.Scenario) string {
	t.Helper()
	result := compile.Compile(&s.Snapshot, s.Now)
	fleet := s.ObserveFleet(t, result.Table)
	var b strings.Builder
	if result.Table != nil {
		fmt.Fprintln(&b, asJSON(t, status.ComputeProxy(s.Snapshot.Proxy, result, fleet, s.Now)))
	}
	for i := range result.Verdicts {
		v := &result.Verdicts[i]
		fmt.Fprintln(&b, asJSON(t, status.ComputeRoute(v, s.Observe(v.Route, fleet), s.Now)))
	}
	return b.String()
}

func asJSON(t testing.TB, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
