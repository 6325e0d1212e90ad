// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// F22, T2: 1,000 orders of the same objects give the same bytes, the same
// hash and the same word for every route. Many of them want the same callback,
// many were created in the same second.
func TestF22_T2_AnyOrderOfObjectsGivesTheSameResult(t *testing.T) {
	t.Parallel()
	s := crowd(t)
	want, statuses := s.verdict(t), s.statuses(t)
	if accepted := strings.Count(want, "accepted "); accepted < 10 || accepted > 40 {
		t.Fatalf("%d routes are accepted: the orders show too little", accepted)
	}
	random := rand.New(rand.NewPCG(22, 2))
	for i := range 1000 {
		other := shuffle(s, random)
		if got := other.verdict(t); got != want {
			t.Fatalf("order %d gives another result:\n%s", i, diff(want, got))
		}
		if i%20 > 0 {
			continue // they take longer, and follow from the result
		}
		if got := other.statuses(t); got != statuses {
			t.Fatalf("order %d gives other statuses:\n%s", i, diff(statuses, got))
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
		s := loadScenario(t, file)
		want := s.verdict(t) + s.statuses(t)
		for range 20 {
			other := shuffle(s, random)
			if got := other.verdict(t) + other.statuses(t); got != want {
				t.Errorf("%s in another order:\n%s", file, diff(want, got))
				break
			}
		}
	}
}

// crowd is 50 routes of four namespaces that want a dozen callbacks, exact and
// nested, with three creation times among them.
func crowd(t testing.TB) *scenario {
	t.Helper()
	s := loadScenario(t, "testdata/nested-prefix.in.yaml")
	random := rand.New(rand.NewPCG(7, 7))
	models := slices.DeleteFunc(slices.Clone(s.snapshot.Routes), func(r Route) bool { return r.Object.Name == "everything" })
	s.snapshot.Routes = nil
	for i := range 50 {
		route := models[random.IntN(len(models))].Object.DeepCopy()
		route.Namespace = fmt.Sprintf("team-%d", random.IntN(4))
		route.Name = fmt.Sprintf("route-%d", i)
		route.UID = ""
		path := string(route.Spec.Callback.Path)
		route.Spec.Callback.Path = callbackv1alpha1.CallbackPath(strings.Replace(path, "/saml", fmt.Sprint("/saml", random.IntN(5)), 1))
		route.CreationTimestamp.Time = s.Now.AddDate(0, -1, random.IntN(3))
		route.Spec.Hostnames = [][]callbackv1alpha1.Hostname{{"auth.acme.com"}, {"login.acme.com"}, {"login.acme.com", "auth.acme.com"}}[random.IntN(3)]
		if random.IntN(10) == 0 {
			route.Spec.Owner = ""
		}
		if random.IntN(4) == 0 {
			route.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: "partner is late"}
		}
		s.addRoute(Route{Object: route})
	}
	s.snapshot.Proxy.Spec.Policy.SunsetWarningDays = []int32{60, 45, 30, 7}
	s.Fleet = randomFleet(random, s)
	return s
}

// verdict is everything that a pass decides, as text.
func (s *scenario) verdict(t testing.TB) string {
	t.Helper()
	result := Compile(&s.snapshot, s.Now)
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
		fmt.Fprintln(&b, word, v.Route.Namespace+"/"+v.Route.Name, v.Accepted, v.ResolvedRefs, v.Phase, v.Warning, v.Until, v.NoEndpoints)
	}
	return b.String()
}

// statuses is everything that is written of a pass, as text.
func (s *scenario) statuses(t testing.TB) string {
	t.Helper()
	result := Compile(&s.snapshot, s.Now)
	fleet := s.fleet(t, result.Table)
	var b strings.Builder
	if result.Table != nil {
		fmt.Fprintln(&b, asJSON(t, ProxyStatus(s.snapshot.Proxy, result, fleet, s.Now)))
	}
	for i := range result.Verdicts {
		v := &result.Verdicts[i]
		fmt.Fprintln(&b, asJSON(t, RouteStatus(v, s.observed(v.Route, fleet), s.Now)))
	}
	return b.String()
}

// shuffle puts every list of a snapshot into another order.
func shuffle(s *scenario, random *rand.Rand) *scenario {
	other := *s
	other.Fleet = shuffled(s.Fleet, random)
	other.snapshot.Routes = shuffled(s.snapshot.Routes, random)
	other.snapshot.Grants = shuffled(s.snapshot.Grants, random)
	other.snapshot.Forbidden = shuffled(s.snapshot.Forbidden, random)
	other.snapshot.EndpointSlices = maps.Clone(s.snapshot.EndpointSlices)
	for key, list := range other.snapshot.EndpointSlices {
		list = shuffled(list, random)
		for i := range list {
			list[i].Endpoints = shuffled(list[i].Endpoints, random)
			list[i].Ports = shuffled(list[i].Ports, random)
		}
		other.snapshot.EndpointSlices[key] = list
	}
	if s.snapshot.Proxy != nil {
		other.snapshot.Proxy = s.snapshot.Proxy.DeepCopy()
		other.snapshot.Proxy.Spec.Hosts = shuffled(s.snapshot.Proxy.Spec.Hosts, random)
		other.snapshot.Proxy.Spec.TrustedProxies = shuffled(s.snapshot.Proxy.Spec.TrustedProxies, random)
		other.snapshot.Proxy.Spec.Policy.SunsetWarningDays = shuffled(s.snapshot.Proxy.Spec.Policy.SunsetWarningDays, random)
		other.snapshot.Proxy.Spec.Policy.AfterSunset = shuffled(s.snapshot.Proxy.Spec.Policy.AfterSunset, random)
	}
	return &other
}

func shuffled[T any](list []T, random *rand.Rand) []T {
	list = slices.Clone(list)
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func asJSON(t testing.TB, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
