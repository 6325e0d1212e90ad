// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
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
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/schema"
)

// published is the version of the config in every scenario.
var published = routetable.Version{Epoch: 1, Generation: 7}

// scenario is the first document of an input file; the others are objects.
type scenario struct {
	// Now is the present time.
	Now time.Time `json:"now"`
	// Proxy names the CallbackProxy, as namespace/name.
	Proxy string `json:"proxy"`
	// APIServer are the addresses of the API server.
	APIServer []netip.Addr `json:"apiServer,omitempty"`
	// Unchecked leaves the schema out: for what was stored before it became
	// as strict as it is.
	Unchecked bool `json:"unchecked,omitempty"`
	// Fleet is one ready instance that runs everything, unless it is given.
	Fleet []instance `json:"fleet,omitempty"`
	// NotReady counts the pods that are not ready.
	NotReady int `json:"notReady,omitempty"`
	// Deployed is what came of running the fleet.
	Deployed Deployed `json:"deployed,omitzero"`
	// Use is what came for routes, by namespace/name.
	Use map[string]Use `json:"use,omitempty"`
	// Since is the generation that published a route first, by
	// namespace/name; the present one unless it is given.
	Since map[string]int64 `json:"since,omitempty"`

	snapshot Snapshot
	// unread is the CallbackProxy if it cannot be read, for that reason.
	unread      *callbackv1alpha1.CallbackProxy
	decodeError string
}

// instance is one ready pod of a scenario's fleet.
type instance struct {
	Pod string `json:"pod"`
	// Generation of the config it runs: 7 is the published one, 0 none.
	Generation  int64  `json:"generation"`
	Unreachable bool   `json:"unreachable,omitempty"`
	Port        int32  `json:"port,omitempty"`
	Refused     string `json:"refused,omitempty"`
	// Suspect says that it doubts its clock.
	Suspect bool `json:"suspect,omitempty"`
	// LastHeard is when it answered last.
	LastHeard time.Time `json:"lastHeard,omitzero"`
	// Sees is the state of backends, by namespace/route/backend: Healthy,
	// Unmeasured, or why not; "preflight" before it for what the preflight
	// found, "@" and an IP:port behind it for one address.
	Sees map[string]string `json:"sees,omitempty"`
}

// undecodable is how an input file says that a stored object cannot be read.
type undecodable struct {
	metav1.ObjectMeta `json:"metadata"`
	DecodeError       string `json:"decodeError"`
}

var schemas = sync.OnceValues(func() (map[string]*schema.Schema, error) {
	return schema.Load("../../config/crd/bases")
})

// loadScenario reads an input file. Routes and proxies are defaulted and
// checked by their CRDs, so what a file shows is what can happen.
func loadScenario(t testing.TB, file string) *scenario {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := parseScenario(t, string(data))
	if s == nil {
		t.Fatalf("%s holds no scenario", file)
	}
	return s
}

func parseScenario(t testing.TB, text string) *scenario {
	t.Helper()
	var s *scenario
	for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
		object, err := schema.ParseYAML([]byte(doc))
		if err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		switch {
		case len(object) == 0:
		case s == nil:
			s = &scenario{}
			decode(t, object, s)
			s.start(t)
		default:
			s.add(t, object)
		}
	}
	return s
}

func (s *scenario) start(t testing.TB) {
	t.Helper()
	namespace, name, found := strings.Cut(s.Proxy, "/")
	if !found || s.Now.IsZero() {
		t.Fatalf("the first document needs now and proxy: namespace/name")
	}
	if s.Fleet == nil {
		s.Fleet = []instance{{Pod: "edge-1", Generation: published.Generation}}
	}
	s.snapshot = Snapshot{
		Key:            types.NamespacedName{Namespace: namespace, Name: name},
		Namespaces:     map[string]labels.Set{},
		Services:       map[types.NamespacedName]*corev1.Service{},
		EndpointSlices: map[types.NamespacedName][]discoveryv1.EndpointSlice{},
		Forbidden:      s.APIServer,
	}
}

// add puts an object where the controller's gatherer would.
func (s *scenario) add(t testing.TB, object map[string]any) {
	t.Helper()
	kind, _ := object["kind"].(string)
	if known, is := mustSchemas(t)[kind]; is && !s.Unchecked {
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
			s.snapshot.Proxy = proxy
		}
	case "CallbackRoute":
		route := &callbackv1alpha1.CallbackRoute{}
		decode(t, object, route)
		s.addRoute(Route{Object: route})
	case "UndecodableRoute":
		delete(object, "kind")
		delete(object, "apiVersion")
		broken := &undecodable{}
		decode(t, object, broken)
		s.addRoute(Route{Object: &callbackv1alpha1.CallbackRoute{ObjectMeta: broken.ObjectMeta}, DecodeError: broken.DecodeError})
	case "UndecodableProxy":
		delete(object, "kind")
		delete(object, "apiVersion")
		broken := &undecodable{}
		decode(t, object, broken)
		s.unread = &callbackv1alpha1.CallbackProxy{ObjectMeta: broken.ObjectMeta}
		s.unread.Generation, s.decodeError = max(broken.Generation, 1), broken.DecodeError
	case "Namespace":
		namespace := &corev1.Namespace{}
		decode(t, object, namespace)
		s.addNamespace(namespace.Name, namespace.Labels)
	case "Service":
		service := &corev1.Service{}
		decode(t, object, service)
		s.snapshot.Services[types.NamespacedName{Namespace: service.Namespace, Name: service.Name}] = service
	case "EndpointSlice":
		slice := &discoveryv1.EndpointSlice{}
		decode(t, object, slice)
		key := types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
		s.snapshot.EndpointSlices[key] = append(s.snapshot.EndpointSlices[key], *slice)
	case "ReferenceGrant":
		grant := gatewayv1beta1.ReferenceGrant{}
		decode(t, object, &grant)
		s.snapshot.Grants = append(s.snapshot.Grants, grant)
	default:
		t.Fatalf("kind %q is not known here", kind)
	}
}

// addRoute adds a route, with the metadata that the API server would have
// given it.
func (s *scenario) addRoute(route Route) {
	o := route.Object
	o.UID = types.UID(cmp.Or(string(o.UID), o.Namespace+"."+o.Name))
	o.Generation = max(o.Generation, 1)
	if o.CreationTimestamp.IsZero() {
		o.CreationTimestamp = metav1.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	}
	s.addNamespace(o.Namespace, nil)
	ref := o.Spec.ProxyRef
	if route.DecodeError != "" || cmp.Or(string(ref.Namespace), o.Namespace)+"/"+string(ref.Name) == s.Proxy {
		s.snapshot.Routes = append(s.snapshot.Routes, route)
	}
}

func (s *scenario) addNamespace(name string, more labels.Set) {
	known := s.snapshot.Namespaces[name]
	s.snapshot.Namespaces[name] = labels.Merge(labels.Merge(known, more), labels.Set{corev1.LabelMetadataName: name})
}

// fleet is the scenario's fleet after a table was published.
func (s *scenario) fleet(t testing.TB, table *routetable.Table) *Fleet {
	t.Helper()
	fleet := &Fleet{Total: len(s.Fleet) + s.NotReady, Published: published, Deployed: s.Deployed}
	if table != nil {
		encoded, err := routetable.Encode(table, routetable.DefaultShardBytes)
		if err != nil {
			t.Fatalf("the table cannot be published: %v", err)
		}
		fleet.Hash = encoded.Index.Hash
	}
	if table == nil {
		table = &routetable.Table{}
	}
	for _, i := range s.Fleet {
		report := routetable.Report{ListenerPort: cmp.Or(i.Port, 8080)}
		if i.Generation > 0 {
			report.Version = routetable.Version{Epoch: published.Epoch, Generation: i.Generation}
			report.Hash = fleet.Hash
			if report.Version != published {
				report.Hash = routetable.HashOf("an earlier config")
			}
		}
		if i.Refused != "" {
			report.Refused = &routetable.Refusal{Version: published, Hash: fleet.Hash, Reason: routetable.RefusedInvalid, Message: i.Refused}
		}
		report.ClockSuspect = i.Suspect
		fleet.Instances = append(fleet.Instances, Instance{
			Pod: i.Pod, Reached: !i.Unreachable, LastHeard: i.LastHeard, Report: report, Targets: i.targets(table),
		})
	}
	slices.SortFunc(fleet.Instances, func(a, b Instance) int { return cmp.Compare(a.Pod, b.Pod) })
	return fleet
}

// targets is what an instance says of the addresses of the backends it sees.
func (i *instance) targets(table *routetable.Table) map[string]routetable.TargetReport {
	out := map[string]routetable.TargetReport{}
	for n := range table.Routes {
		route := &table.Routes[n]
		for b := range route.Backends {
			backend := &route.Backends[b]
			for _, address := range backend.Addresses {
				name := route.ID() + "/" + backend.Name
				i.see(out, name, address, routetable.TargetID(address, backend.Check))
				i.see(out, "preflight "+name, address, routetable.PreflightID(address, route, backend))
			}
		}
	}
	return out
}

func (i *instance) see(out map[string]routetable.TargetReport, name, address, id string) {
	switch what := cmp.Or(i.Sees[name+"@"+address], i.Sees[name]); what {
	case "":
	case string(routetable.TargetHealthy), string(routetable.TargetUnmeasured):
		out[id] = routetable.TargetReport{ID: id, State: routetable.TargetState(what)}
	default:
		out[id] = routetable.TargetReport{ID: id, State: routetable.TargetUnhealthy, Reason: what}
	}
}

// observed is what is known of a route besides its objects.
func (s *scenario) observed(route *callbackv1alpha1.CallbackRoute, fleet *Fleet) *Observed {
	return &Observed{Fleet: fleet, Since: s.since(route), Use: s.Use[route.Namespace+"/"+route.Name]}
}

func (s *scenario) since(route *callbackv1alpha1.CallbackRoute) routetable.Version {
	v := published
	if generation, given := s.Since[route.Namespace+"/"+route.Name]; given {
		v.Generation = generation
	}
	return v
}

func mustSchemas(t testing.TB) map[string]*schema.Schema {
	t.Helper()
	all, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// decode is strict: a field that an input file misspells shows nothing.
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
