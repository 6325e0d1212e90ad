// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/expect"
)

var update = flag.Bool("update", false, "write what is compiled into testdata/*.out.yaml")

// outcome is an output file: the table and the conditions side by side.
type outcome struct {
	// Next is when something changes though no object does.
	Next   string          `json:"next,omitempty"`
	Table  *outcomeTable   `json:"table,omitempty"`
	Proxy  *outcomeStatus  `json:"proxy,omitempty"`
	Routes []outcomeStatus `json:"routes"`
}

type outcomeTable struct {
	Settings routetable.Settings `json:"settings"`
	Routes   []routetable.Route  `json:"routes"`
}

type outcomeStatus struct {
	Name       string             `json:"name"`
	Conditions []outcomeCondition `json:"conditions"`
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
			s := loadScenario(t, file)
			data, err := yaml.Marshal(s.run(t))
			if err != nil {
				t.Fatal(err)
			}
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
			if got := string(data); got != string(want) {
				t.Errorf("%s differs (go test ./controllers/compile -update rewrites it):\n%s", golden, diff(string(want), got))
			}
		})
	}
}

// Every output file has an input file: none is left over.
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

// run compiles a scenario and writes the statuses, twice: the second time
// nothing may differ.
func (s *scenario) run(t testing.TB) *outcome {
	t.Helper()
	result := Compile(&s.snapshot, s.Now)
	out := &outcome{Routes: []outcomeStatus{}}
	if !result.Next.IsZero() {
		out.Next = result.Next.Format(time.RFC3339)
	}
	fleet := s.fleet(t, result.Table)
	if result.Table != nil {
		out.Table = &outcomeTable{Settings: result.Table.Settings, Routes: result.Table.Routes}
	}
	if s.snapshot.Proxy != nil {
		out.Proxy = &outcomeStatus{Name: s.Proxy, Conditions: conditionsOf(s.proxyStatus(t, result, fleet).Conditions)}
	}
	for i := range result.Verdicts {
		v := &result.Verdicts[i]
		status := s.routeStatus(t, v, fleet)
		out.Routes = append(out.Routes, outcomeStatus{
			Name:       v.Route.Namespace + "/" + v.Route.Name,
			Conditions: conditionsOf(status.Conditions),
		})
	}
	return out
}

// routeStatus computes a status and checks it, alone and on a second pass.
func (s *scenario) routeStatus(t testing.TB, v *Verdict, fleet *Fleet) callbackv1alpha1.CallbackRouteStatus {
	t.Helper()
	route := v.Route.DeepCopy()
	route.Status = RouteStatus(v, fleet, s.since(v.Route), s.Now)
	if err := expect.ConsistentRoute(route); err != nil {
		t.Error(err)
	}
	again := *v
	again.Route = route
	if second := RouteStatus(&again, fleet, s.since(v.Route), s.Now.Add(time.Second)); !apiequality.Semantic.DeepEqual(second, route.Status) {
		t.Errorf("a second pass over %s/%s gives another status", route.Namespace, route.Name)
	}
	return route.Status
}

func (s *scenario) proxyStatus(t testing.TB, result *Result, fleet *Fleet) callbackv1alpha1.CallbackProxyStatus {
	t.Helper()
	proxy := s.snapshot.Proxy.DeepCopy()
	proxy.Status = ProxyStatus(s.snapshot.Proxy, result, fleet, s.Now)
	if err := expect.ConsistentProxy(proxy); err != nil {
		t.Error(err)
	}
	if second := ProxyStatus(proxy, result, fleet, s.Now.Add(time.Second)); !apiequality.Semantic.DeepEqual(second, proxy.Status) {
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
