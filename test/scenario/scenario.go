// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scenario reads the input files of the tests of compile and status: one
// moment of a cluster, as YAML documents. Input: a file. Output: a snapshot, and
// the observed state of the fleet.
package scenario

// scenario.go reads a file, and checks its objects with the schemas of the CRDs.

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/schema"
)

// Published is the version of the config in every scenario.
var Published = routetable.Version{Epoch: 1, Generation: 7}

// Scenario is the first document of an input file; the others are objects.
type Scenario struct {
	// Now is the present time.
	Now time.Time `json:"now"`
	// Before is the time of an earlier pass over the same objects, whose statuses
	// are stored; zero: no pass came before.
	Before time.Time `json:"before,omitzero"`
	// Proxy names the CallbackProxy, as namespace/name.
	Proxy string `json:"proxy"`
	// APIServer are the addresses of the API server.
	APIServer []netip.Addr `json:"apiServer,omitempty"`
	// Unchecked leaves the schema out: for what was stored before it became
	// as strict as it is.
	Unchecked bool `json:"unchecked,omitempty"`
	// Fleet is one ready instance that runs everything, unless it is given.
	Fleet []Instance `json:"fleet,omitempty"`
	// NotReady counts the pods that are not ready.
	NotReady int `json:"notReady,omitempty"`
	// Deployed is the result of deploying the fleet.
	Deployed status.Deployed `json:"deployed,omitzero"`
	// Traffic holds the counters of routes, by namespace/name.
	Traffic map[string]status.Traffic `json:"traffic,omitempty"`
	// Recent is what the last callbacks of routes show, by namespace/name.
	Recent map[string]status.Recent `json:"recent,omitempty"`
	// Previous is what the table published last holds, without route entries: a
	// claim counts the same in a route and in a hold without a release time. The
	// UID is namespace.name unless it is given.
	Previous []routetable.Hold `json:"previous,omitempty"`
	// Since is the config generation that published a route first, by
	// namespace/name; the present one unless it is given.
	Since map[string]int64 `json:"since,omitempty"`

	Snapshot compile.Snapshot `json:"-"`
	// UndecodableProxy is the CallbackProxy if it cannot be decoded, and
	// DecodeError the reason.
	UndecodableProxy *callbackv1alpha1.CallbackProxy `json:"-"`
	DecodeError      string                          `json:"-"`
}

// Instance is one ready pod of a scenario's fleet.
type Instance struct {
	Pod string `json:"pod"`
	// Generation of the config it runs: 7 is the published one, 0 none.
	Generation  int64  `json:"generation"`
	Unreachable bool   `json:"unreachable,omitempty"`
	Port        int32  `json:"port,omitempty"`
	Refused     string `json:"refused,omitempty"`
	// Suspect is set when its clock differs from the API server's.
	Suspect bool `json:"suspect,omitempty"`
	// Forwarding is what its callbacks claim of the proxies in front.
	Forwarding routetable.ForwardingUse `json:"forwarding,omitzero"`
	// LastReportTime is the time of its last report.
	LastReportTime time.Time `json:"lastReportTime,omitzero"`
	// Health is the reported state of backends, by namespace/route/backend:
	// Healthy, Unmeasured, or the reason of Unhealthy. "pathProbe " before it is
	// the state of its path probes, of one callback with its name behind it; "@" and an IP:port behind it select one address.
	Health map[string]string `json:"health,omitempty"`
}

// undecodable is a stored object that cannot be decoded, as an input file has it.
type undecodable struct {
	metav1.ObjectMeta `json:"metadata"`
	DecodeError       string `json:"decodeError"`
}

var schemas = sync.OnceValues(func() (map[string]*schema.Schema, error) {
	return schema.Load(basesDir())
})

// basesDir is the folder of the CRDs, from wherever a test runs.
func basesDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "config", "crd", "bases")
}

// Load reads an input file. The schemas of the CRDs default and check its routes
// and proxies, so a file holds only states that a cluster can have.
func Load(t testing.TB, file string) *Scenario {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := Parse(t, string(data))
	if s == nil {
		t.Fatalf("%s holds no scenario", file)
	}
	return s
}

// Parse reads the text of an input file; nil when it is empty.
func Parse(t testing.TB, text string) *Scenario {
	t.Helper()
	var s *Scenario
	for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
		object, err := schema.ParseYAML([]byte(doc))
		if err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		switch {
		case len(object) == 0:
		case s == nil:
			s = &Scenario{}
			decode(t, object, s)
			s.Start(t)
		default:
			s.Add(t, object)
		}
	}
	if s != nil && !s.Before.IsZero() {
		s.storeStatuses(t)
	}
	return s
}

// Start prepares an empty snapshot.
func (s *Scenario) Start(t testing.TB) {
	t.Helper()
	namespace, name, found := strings.Cut(s.Proxy, "/")
	if !found || s.Now.IsZero() {
		t.Fatalf("the first document needs now and proxy: namespace/name")
	}
	if s.Fleet == nil {
		s.Fleet = []Instance{{Pod: "edge-1", Generation: Published.Generation}}
	}
	s.Snapshot = compile.Snapshot{
		Key:            types.NamespacedName{Namespace: namespace, Name: name},
		Namespaces:     map[string]labels.Set{},
		Services:       map[types.NamespacedName]*corev1.Service{},
		EndpointSlices: map[types.NamespacedName][]discoveryv1.EndpointSlice{},
		Forbidden:      s.APIServer,
	}
	for i := range s.Previous {
		hold := &s.Previous[i]
		hold.UID = cmp.Or(hold.UID, hold.Namespace+"."+hold.Name)
		slices.SortFunc(hold.Claims, routetable.Claim.Compare)
		s.AddNamespace(hold.Namespace, nil)
	}
	if len(s.Previous) > 0 {
		s.Snapshot.Previous = &routetable.Table{Holds: s.Previous}
	}
}

// Add adds an object to the snapshot as the controller's gatherer does.
func (s *Scenario) Add(t testing.TB, object map[string]any) {
	t.Helper()
	kind, _ := object["kind"].(string)
	if known, is := Schemas(t)[kind]; is && !s.Unchecked {
		if errs := known.Admit(object); len(errs) > 0 {
			t.Fatalf("%s %v: %v", kind, object["metadata"], errs.ToAggregate())
		}
	}
	switch kind {
	case "CallbackProxy":
		proxy := &callbackv1alpha1.CallbackProxy{}
		decode(t, object, proxy)
		proxy.Generation = max(proxy.Generation, 1)
		if proxy.Namespace+"/"+proxy.Name == s.Proxy {
			s.Snapshot.Proxy = proxy
		}
	case "CallbackRoute":
		route := &callbackv1alpha1.CallbackRoute{}
		decode(t, object, route)
		s.AddRoute(compile.Route{Object: route})
	case "UndecodableRoute":
		delete(object, "kind")
		delete(object, "apiVersion")
		broken := &undecodable{}
		decode(t, object, broken)
		s.AddRoute(compile.Route{Object: &callbackv1alpha1.CallbackRoute{ObjectMeta: broken.ObjectMeta}, DecodeError: broken.DecodeError})
	case "UndecodableProxy":
		delete(object, "kind")
		delete(object, "apiVersion")
		broken := &undecodable{}
		decode(t, object, broken)
		s.UndecodableProxy = &callbackv1alpha1.CallbackProxy{ObjectMeta: broken.ObjectMeta}
		s.UndecodableProxy.Generation, s.DecodeError = max(broken.Generation, 1), broken.DecodeError
	case "Namespace":
		namespace := &corev1.Namespace{}
		decode(t, object, namespace)
		s.AddNamespace(namespace.Name, namespace.Labels)
	case "Service":
		service := &corev1.Service{}
		decode(t, object, service)
		s.Snapshot.Services[types.NamespacedName{Namespace: service.Namespace, Name: service.Name}] = service
	case "EndpointSlice":
		slice := &discoveryv1.EndpointSlice{}
		decode(t, object, slice)
		key := types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
		s.Snapshot.EndpointSlices[key] = append(s.Snapshot.EndpointSlices[key], *slice)
	case "ReferenceGrant":
		grant := gatewayv1.ReferenceGrant{}
		decode(t, object, &grant)
		s.Snapshot.Grants = append(s.Snapshot.Grants, grant)
	default:
		t.Fatalf("kind %q is not known here", kind)
	}
}

// AddRoute adds a route, with the metadata that the API server would have
// given it.
func (s *Scenario) AddRoute(route compile.Route) {
	o := route.Object
	o.UID = types.UID(cmp.Or(string(o.UID), o.Namespace+"."+o.Name))
	o.Generation = max(o.Generation, 1)
	if o.CreationTimestamp.IsZero() {
		o.CreationTimestamp = metav1.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	}
	s.AddNamespace(o.Namespace, nil)
	ref := o.Spec.ProxyRef
	if route.DecodeError != "" || cmp.Or(string(ref.Namespace), o.Namespace)+"/"+string(ref.Name) == s.Proxy {
		s.Snapshot.Routes = append(s.Snapshot.Routes, route)
	}
}

// AddNamespace adds labels to those of a namespace.
func (s *Scenario) AddNamespace(name string, more labels.Set) {
	known := s.Snapshot.Namespaces[name]
	s.Snapshot.Namespaces[name] = labels.Merge(labels.Merge(known, more), labels.Set{corev1.LabelMetadataName: name})
}

// Schemas returns the schemas of the CRDs, by kind.
func Schemas(t testing.TB) map[string]*schema.Schema {
	t.Helper()
	all, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// decode is strict, so a misspelled field of an input file fails its test.
func decode(t testing.TB, object map[string]any, into any) {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatal(fmt.Errorf("decode %s: %w", data, err))
	}
}
