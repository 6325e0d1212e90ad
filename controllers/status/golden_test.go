// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/expect"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

var update = flag.Bool("update", false, "write the results into testdata/*.out.yaml")

// outcome is an output file: each route's conditions beside its entry in the
// table.
type outcome struct {
	// Next is the plan's.
	Next string `json:"next,omitempty"`
	// Settings are the table's; absent when there is no table.
	Settings *routetable.Settings `json:"settings,omitempty"`
	// Holds are the table's.
	Holds  []routetable.Hold `json:"holds,omitempty"`
	Proxy  *outcomeProxy     `json:"proxy,omitempty"`
	Routes []outcomeRoute    `json:"routes"`
}

type outcomeProxy struct {
	Name       string             `json:"name"`
	Conditions []outcomeCondition `json:"conditions"`
}

type outcomeRoute struct {
	Name       string             `json:"name"`
	Conditions []outcomeCondition `json:"conditions"`
	// The rest of the status; Instances follows from the fleet.
	Primary  string                           `json:"primary,omitempty"`
	Backends []callbackv1alpha1.BackendStatus `json:"backends,omitempty"`
	Traffic  *callbackv1alpha1.Traffic        `json:"traffic,omitempty"`
	// Entry is what the instances serve; absent when they serve nothing.
	Entry *routetable.Route `json:"entry,omitempty"`
}

type outcomeCondition struct {
	Type    string                 `json:"type"`
	Status  metav1.ConditionStatus `json:"status"`
	Reason  string                 `json:"reason"`
	Message string                 `json:"message"`
}

// TestGolden compiles each testdata/NAME.in.yaml and compares with
// NAME.out.yaml. A scenario is one ready instance that runs everything, unless
// its first document says otherwise.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no input files (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			t.Parallel()
			s := scenario.Load(t, file)
			data := printYAML(t, run(t, s))
			golden := strings.TrimSuffix(file, ".in.yaml") + ".out.yaml"
			if *update {
				if err := os.WriteFile(golden, data, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(data) != string(want) {
				t.Errorf("%s differs (go test ./controllers/status -update rewrites it):\n%s", golden, diff(string(want), string(data)))
			}
		})
	}
}

// Every output file has an input file.
func TestGolden_NothingIsLeftOver(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		in := strings.Replace(file, ".out.yaml", ".in.yaml", 1)
		if _, err := os.Stat(in); err != nil || !strings.HasSuffix(in, ".in.yaml") {
			t.Errorf("%s belongs to no input file", file)
		}
	}
}

// run compiles a scenario and computes the statuses, twice: the second result must
// be the same.
func run(t testing.TB, s *scenario.Scenario) *outcome {
	t.Helper()
	result := compile.Compile(&s.Snapshot, s.Now)
	out := &outcome{Routes: []outcomeRoute{}}
	if !result.Next.IsZero() {
		out.Next = result.Next.Format(time.RFC3339)
	}
	fleet := s.ObserveFleet(t, result.Table)
	entries := map[string]*routetable.Route{}
	if result.Table != nil {
		out.Settings, out.Holds = &result.Table.Settings, result.Table.Holds
		for i := range result.Table.Routes {
			entries[result.Table.Routes[i].ID()] = &result.Table.Routes[i]
		}
	}
	if s.Snapshot.Proxy != nil || s.UndecodableProxy != nil {
		out.Proxy = &outcomeProxy{Name: s.Proxy, Conditions: conditionsOf(proxyStatus(t, s, result, fleet).Conditions)}
	}
	if s.UndecodableProxy != nil {
		return out // the statuses of its routes are not updated
	}
	for i := range result.Verdicts {
		v := &result.Verdicts[i]
		name := v.Route.Namespace + "/" + v.Route.Name
		if (entries[name] != nil) != v.Accepted.OK {
			t.Errorf("%s is accepted: %t, and in the table: %t", name, v.Accepted.OK, entries[name] != nil)
		}
		computed := routeStatus(t, s, v, fleet)
		out.Routes = append(out.Routes, outcomeRoute{
			Name:       name,
			Conditions: conditionsOf(computed.Conditions),
			Primary:    computed.PrimaryBackend,
			Backends:   computed.Backends,
			Traffic:    computed.Traffic,
			Entry:      entries[name],
		})
		delete(entries, name)
	}
	for name := range entries {
		t.Errorf("%s is in the table without a verdict", name)
	}
	return out
}

// routeStatus computes a status and checks it, alone and on a second pass.
func routeStatus(t testing.TB, s *scenario.Scenario, v *compile.Verdict, fleet *status.Fleet) callbackv1alpha1.CallbackRouteStatus {
	t.Helper()
	route := v.Route.DeepCopy()
	route.Status = status.ComputeRoute(v, s.Observe(v.Route, fleet), s.Now)
	if err := expect.ConsistentRoute(route); err != nil {
		t.Error(err)
	}
	again := *v
	again.Route = route
	if second := status.ComputeRoute(&again, s.Observe(v.Route, fleet), s.Now.Add(time.Second)); !apiequality.Semantic.DeepEqual(second, route.Status) {
		t.Errorf("a second pass over %s/%s gives another status", route.Namespace, route.Name)
	}
	return route.Status
}

func proxyStatus(t testing.TB, s *scenario.Scenario, result *compile.Plan, fleet *status.Fleet) callbackv1alpha1.CallbackProxyStatus {
	t.Helper()
	compute := func(p *callbackv1alpha1.CallbackProxy, now time.Time) callbackv1alpha1.CallbackProxyStatus {
		if s.UndecodableProxy != nil {
			return status.ComputeUndecodableProxy(p, s.DecodeError, len(s.Snapshot.Routes), now)
		}
		return status.ComputeProxy(p, result, fleet, now)
	}
	proxy := cmp.Or(s.UndecodableProxy, s.Snapshot.Proxy).DeepCopy()
	proxy.Status = compute(proxy, s.Now)
	if err := expect.ConsistentProxy(proxy); err != nil {
		t.Error(err)
	}
	if second := compute(proxy, s.Now.Add(time.Second)); !apiequality.Semantic.DeepEqual(second, proxy.Status) {
		t.Errorf("a second pass over %s gives another status", s.Proxy)
	}
	return proxy.Status
}

func conditionsOf(conditions []metav1.Condition) []outcomeCondition {
	out := make([]outcomeCondition, len(conditions))
	for i, c := range conditions {
		out[i] = outcomeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message}
	}
	return out
}

// printYAML keeps the order of fields, so that a condition reads as a sentence.
func printYAML(t testing.TB, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil {
		t.Fatal(err)
	}
	plain(&node)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// plain drops JSON's brackets and quotes where YAML needs none.
func plain(node *yaml.Node) {
	node.Style = 0
	if node.Kind == yaml.SequenceNode && !slices.ContainsFunc(node.Content, func(n *yaml.Node) bool { return n.Kind != yaml.ScalarNode }) {
		node.Style = yaml.FlowStyle
	}
	for _, child := range node.Content {
		plain(child)
	}
}

// diff shows the lines that only one side has, with their numbers.
func diff(want, got string) string {
	var b strings.Builder
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var left, right string
		if i < len(w) {
			left = w[i]
		}
		if i < len(g) {
			right = g[i]
		}
		if left != right {
			b.WriteString("- " + left + "\n+ " + right + "\n")
		}
	}
	return b.String()
}
