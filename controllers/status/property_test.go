// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/scenario"
	"github.com/callbackproxy/callback-operator/test/schema"
)

// P7: no tenant can make the table invalid. Whatever routes and proxies the
// schema lets in, with whatever Services behind them: the table can be
// scenario.Published, a proxy accepts it, nothing in it is dialled that must not be,
// and no status contradicts itself, whatever instances see and count, and at
// whatever time. Nothing changes before the time that the compiler names.
func TestP7_WhatTheSchemaAcceptsMakesAValidTable(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 11))
	scenarios := 150
	if raceEnabled || testing.Short() {
		scenarios = 40
	}
	routes, accepted := 0, 0
	for range scenarios {
		s := scenario.Random(t, random)
		result := compile.Compile(&s.Snapshot, s.Now)
		encoded, err := routetable.Encode(result.Table, 4<<10)
		if err != nil {
			t.Fatalf("the table cannot be published: %v\n%s", err, printYAML(t, s.Snapshot.Proxy))
		}
		shards := map[string]string{}
		for _, shard := range encoded.Shards {
			shards[shard.Hash] = shard.Data
		}
		table, err := routetable.Decode(encoded.Index, func(hash string) (string, bool) {
			data, found := shards[hash]
			return data, found
		})
		if err != nil || !reflect.DeepEqual(table, result.Table) {
			t.Fatalf("a proxy reads another table (%v)", err)
		}
		fleet := s.ObserveFleet(t, result.Table)
		for i := range result.Verdicts {
			v := &result.Verdicts[i]
			isWritable(t, v.Route, "CallbackRoute", routeStatus(t, s, v, fleet))
		}
		isWritable(t, s.Snapshot.Proxy, "CallbackProxy", proxyStatus(t, s, result, fleet))
		isQuietUntilNext(t, s, result, fleet, random)
		routes += len(s.Snapshot.Routes)
		accepted += len(result.Table.Routes)
	}
	t.Logf("%d of %d routes are accepted", accepted, routes)
	if routes < 20*scenarios || accepted < routes/20 || accepted > routes*9/10 {
		t.Errorf("%d of %d routes are accepted: they show too little", accepted, routes)
	}
}

// isWritable fails when the API server would refuse a status, or would store
// another one: that would be written again and again.
func isWritable[S any](t testing.TB, object metav1.Object, kind string, sentStatus S) {
	t.Helper()
	sent, err := schema.ParseJSON([]byte(`{"apiVersion": "callbackproxy.io/v1alpha1", "kind": "` + kind + `",
		"metadata": {"name": "` + object.GetName() + `"}, "status": ` + asJSON(t, sentStatus) + `}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, refusal := range scenario.Schemas(t)[kind].Admit(sent) {
		if refusal.Field != "spec" {
			t.Errorf("%s %s/%s: the status is refused: %v", kind, object.GetNamespace(), object.GetName(), refusal)
		}
	}
	var stored S
	if err := json.Unmarshal([]byte(asJSON(t, sent["status"])), &stored); err != nil || !apiequality.Semantic.DeepEqual(stored, sentStatus) {
		t.Errorf("%s %s/%s: another status is stored (%v):\n%s\n%s", kind, object.GetNamespace(), object.GetName(), err, asJSON(t, sent["status"]), asJSON(t, sentStatus))
	}
}

// isQuietUntilNext fails when a status changes before the next change, though
// no object does.
func isQuietUntilNext(t testing.TB, s *scenario.Scenario, result *compile.Plan, fleet *status.Fleet, random *rand.Rand) {
	t.Helper()
	next := result.Next
	for i := range result.Verdicts {
		v := &result.Verdicts[i]
		observed := s.Observe(v.Route, fleet)
		computed := status.ComputeRoute(v, observed, s.Now)
		next = compile.Earlier(next, status.NextRoute(v, observed, &computed, s.Now))
	}
	if next.IsZero() {
		next = s.Now.AddDate(9, 0, 0)
	}
	for _, then := range []time.Time{s.Now.Add(time.Duration(random.Int64N(int64(next.Sub(s.Now))))), next.Add(-time.Nanosecond)} {
		later := compile.Compile(&s.Snapshot, then)
		for i := range result.Verdicts {
			before := status.ComputeRoute(&result.Verdicts[i], s.Observe(result.Verdicts[i].Route, fleet), s.Now)
			v := later.Verdicts[i]
			v.Route = v.Route.DeepCopy()
			v.Route.Status = before
			if after := status.ComputeRoute(&v, s.Observe(v.Route, fleet), then); !apiequality.Semantic.DeepEqual(before, after) {
				t.Fatalf("%s/%s changes at %v, before %v:\n%s\n%s", v.Route.Namespace, v.Route.Name, then, next, asJSON(t, before), asJSON(t, after))
			}
		}
	}
}
