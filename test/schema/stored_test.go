// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/schema"
)

func wantDefaults(t testing.TB, got *callbackv1alpha1.CallbackProxySpec) {
	t.Helper()
	yes := true
	want := callbackv1alpha1.Policy{
		MaxLifetimeDays: 180, AllowedAfterSunset: []callbackv1alpha1.AfterSunset{"Reject"}, RequireOwner: &yes,
		SunsetWarningDays: []int32{30, 7, 1}, MaxRoutesPerNamespace: 1000,
	}
	if asJSON(t, got.Policy) != asJSON(t, want) || got.Hosts[0].Namespaces.From != "" {
		t.Errorf("the CallbackProxy is stored as %+v", got)
	}
}

// Columns are what users see first. Most of a route's columns come from its
// status: they are empty before the controller has written one.
func TestStored_Columns(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	namespace := newNamespace(t, s)
	create(t, s, namespace, `
apiVersion: callbackproxy.io/v1alpha1
kind: CallbackRoute
metadata: {name: acme-sso}
spec:
  proxyRef: {name: edge, namespace: edge}
  hostnames: [auth.acme.com, login.acme.com]
  protocol: OIDC
  callbacks: [{name: login, path: /oauth2/callback}]
  backends:
  - {name: blue, service: {name: legacy-idp, port: 8080}, weight: 0}
  - {name: green, service: {name: new-idp, port: 8443}, weight: 1}
  sunsetTime: "2026-12-31T00:00:00Z"`)
	wantColumns(t, table(t, s, namespace, "callbackroutes"), map[string]any{
		"Name": "acme-sso", "Host": "auth.acme.com", "Path": "/oauth2/callback", "Primary": nil, "Healthy": nil, "Ready": nil,
		"Sunset": "2026-12-31T00:00:00Z", "Reason": nil, "Ended": nil, "Last callback": nil,
	})
	last := time.Now().Add(-26 * time.Hour).UTC().Format(time.RFC3339)
	status(t, s, namespace, "CallbackRoute", "acme-sso", `{"conditions": [`+condition("Accepted", "True", "Accepted")+`,`+condition("Ready", "False", "Pending")+`,
		`+condition("BackendsHealthy", "Unknown", "NotMeasured")+`,`+condition("SunsetPassed", "True", "SunsetPassed")+`],
		"primaryBackend": "green", "backends": [{"name": "green", "health": "Unknown", "callbacks": 3}],
		"traffic": {"callbacks": 3, "lastCallbackTime": "`+last+`"}}`)
	wantColumns(t, table(t, s, namespace, "callbackroutes"), map[string]any{
		"Name": "acme-sso", "Host": "auth.acme.com", "Path": "/oauth2/callback", "Primary": "green", "Healthy": "Unknown", "Ready": "False",
		"Sunset": "2026-12-31T00:00:00Z", "Reason": "Pending", "Ended": "True", "Last callback": "26h",
	})

	create(t, s, namespace, bases["CallbackProxy"])
	status(t, s, namespace, "CallbackProxy", "edge",
		`{"routes": {"total": 3, "accepted": 2}, "configGeneration": 7, "conditions": [`+condition("Ready", "True", "Ready")+`]}`)
	wantColumns(t, table(t, s, namespace, "callbackproxies"), map[string]any{
		"Name": "edge", "Ready": "True", "Routes": float64(2), "Config": float64(7), "Mode": "External", "Reason": "Ready",
	})

	create(t, s, namespace, bases["CallbackProxyConfig"])
	wantColumns(t, table(t, s, namespace, "callbackproxyconfigs"), map[string]any{
		"Name": "edge", "Proxy": nil, "Part": "Index", "Epoch": float64(1), "Config": float64(1), "Hash": hash64,
	})
}

// kubectl apply compares whole lists: where the schema adds a default inside one,
// it reports "configured" each time, though nothing changed. So the schema has no
// default there.
func TestStored_ListsAreKeptAsTheyAreSent(t *testing.T) {
	t.Parallel()
	for kind, s := range mustSchemas(t) {
		spec := s.Props.Properties["spec"]
		for _, at := range defaultsInLists("spec", &spec) {
			t.Errorf("%s %s has a default inside a list", kind, at)
		}
	}

	s := mustServer(t)
	for _, sent := range []string{"{path: /healthz}", "{type: TCP}", "{type: HTTP, path: /, intervalSeconds: 9, unhealthyThreshold: 1}"} {
		object := patched(t, "CallbackRoute", "{spec: {backends: [{name: blue, weight: 1, service: {name: a, port: 1}, healthCheck: "+sent+"}]}}")
		stored, err := s.tryPost(t.Context(), "CallbackRoute", []byte(asJSON(t, object)))
		if err != nil {
			t.Fatal(err)
		}
		path := func(object map[string]any) any { return object["spec"].(map[string]any)["backends"] }
		if got, want := asJSON(t, path(stored)), asJSON(t, path(object)); got != want {
			t.Errorf("is stored as\n%s\nnot as\n%s", got, want)
		}
	}
}

// defaultsInLists are the places below a list for which a schema has a default.
func defaultsInLists(at string, s *apiextensionsv1.JSONSchemaProps) []string {
	var found []string
	if strings.Contains(at, "[]") && s.Default != nil {
		found = append(found, at)
	}
	for name, property := range s.Properties {
		found = append(found, defaultsInLists(at+"."+name, &property)...)
	}
	if s.Items != nil && s.Items.Schema != nil {
		found = append(found, defaultsInLists(at+"[]", s.Items.Schema)...)
	}
	return found
}

// B11: a status is stored and read as the controller wrote it, to the second, and
// a status at its bounds is accepted.
func TestB11_StatusesAreStoredAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	namespace := newNamespace(t, s)
	at := metav1.NewTime(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	most, none := int64(math.MaxInt64), int64(0)
	name := long(63)
	conditions := []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Ready", Message: strings.Repeat("ü", 2048), LastTransitionTime: at}}

	create(t, s, namespace, bases["CallbackRoute"])
	route := callbackv1alpha1.CallbackRouteStatus{
		ObservedGeneration: 1, Conditions: conditions, PrimaryBackend: name,
		Backends: []callbackv1alpha1.BackendStatus{
			{Name: name, Health: "Unhealthy", Reason: "CallbackPathNotServed", Callbacks: &most, LastCallbackTime: &at},
			{Name: "b", Health: "Unknown", Callbacks: &none},
		},
		Traffic: &callbackv1alpha1.Traffic{
			LastCallbackTime: &at, QuietSince: &at, Callbacks: &most, AfterSunset: &none, Repeats: &most, Other: &most, Refused: &most,
			LastRefusedTime: &at, LastRefusedReason: strings.Repeat("x", 64),
		},
	}
	status(t, s, namespace, "CallbackRoute", "acme-sso", asJSON(t, route))
	storedRoute := &callbackv1alpha1.CallbackRoute{}
	if err := s.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "acme-sso"}, storedRoute); err != nil {
		t.Fatal(err)
	}
	if got, want := asJSON(t, storedRoute.Status), asJSON(t, route); got != want {
		t.Errorf("the route's status is\n%s\nwant\n%s", got, want)
	}

	create(t, s, namespace, bases["CallbackProxy"])
	proxy := callbackv1alpha1.CallbackProxyStatus{
		ObservedGeneration: 1, Conditions: conditions,
		Instances: []callbackv1alpha1.ProxyInstance{{Pod: "edge-1", State: callbackv1alpha1.InstanceUnreachable, LastReportTime: &at}},
	}
	status(t, s, namespace, "CallbackProxy", "edge", asJSON(t, proxy))
	storedProxy := &callbackv1alpha1.CallbackProxy{}
	if err := s.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "edge"}, storedProxy); err != nil {
		t.Fatal(err)
	}
	if got, want := asJSON(t, storedProxy.Status), asJSON(t, proxy); got != want {
		t.Errorf("the CallbackProxy's status is\n%s\nwant\n%s", got, want)
	}
}

// table requests a list as kubectl get does.
func table(t testing.TB, s *server, namespace, resource string) *metav1.Table {
	t.Helper()
	data, err := s.rest.Get().AbsPath("/apis/callbackproxy.io/v1alpha1/namespaces", namespace, resource).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := &metav1.Table{}
	if err := json.Unmarshal(data, got); err != nil {
		t.Fatal(err)
	}
	return got
}

// wantColumns compares all columns of the only row, except for Age.
func wantColumns(t testing.TB, got *metav1.Table, want map[string]any) {
	t.Helper()
	if len(got.Rows) != 1 {
		t.Fatalf("%d rows", len(got.Rows))
	}
	seen := 0
	for i, column := range got.ColumnDefinitions {
		if column.Name == "Age" {
			continue
		}
		seen++
		expected, known := want[column.Name]
		if cell := got.Rows[0].Cells[i]; !known || cell != expected {
			t.Errorf("column %s holds %#v, want %#v", column.Name, cell, expected)
		}
	}
	if seen != len(want) {
		t.Errorf("%d columns, want %d", seen, len(want))
	}
}

func newNamespace(t testing.TB, s *server) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "schema-"}}
	if err := s.client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

func create(t testing.TB, s *server, namespace, text string) {
	t.Helper()
	object, err := schema.ParseYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetNamespace(namespace)
	if err := s.client.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func status(t testing.TB, s *server, namespace, kind, name, patch string) {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(callbackv1alpha1.SchemeGroupVersion.WithKind(kind))
	u.SetNamespace(namespace)
	u.SetName(name)
	if err := s.client.Status().Patch(t.Context(), u, client.RawPatch(types.MergePatchType, []byte(`{"status": `+patch+`}`))); err != nil {
		t.Fatal(err)
	}
}

func condition(kind, value, reason string) string {
	return `{"type": "` + kind + `", "status": "` + value + `", "reason": "` + reason + `", "message": "m", "lastTransitionTime": "2026-11-21T12:00:00Z"}`
}

func asJSON(t testing.TB, value any) string {
	t.Helper()
	data, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
