// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Routes are as large or as deep as a client can make them: the schema refuses
// them or they are not accepted, and they cost the manager at most 64 MiB. The
// largest valid ones are served.
func TestF15_RoutesAreHuge(t *testing.T) {
	s := shared(t, "F15")
	before, beforeProxy := s.memory()
	s.forgetPeaks()

	refused := s.hugeSpecs()
	for name, spec := range refused {
		s.Expect(s.post("tenant-a", "huge", spec)).To(BeElementOf(
			http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge), name)
	}

	// As large as the schema permits, and with as much metadata as the API server
	// accepts.
	valid := times(20, 100)
	s.createMany(valid, largest)
	burdened := times(20, 100)
	s.createMany(burdened, func(i int) *callbackv1alpha1.CallbackRoute {
		r := claim{namespace: "tenant-b", name: fmt.Sprintf("burdened-%d", i), host: openHost, path: fmt.Sprintf("/burdened/%d", i), service: "idp"}.object()
		r.Annotations = map[string]string{"example.test/note": strings.Repeat("x", 250<<10)}
		r.Labels = map[string]string{}
		for n := range 8000 {
			r.Labels[fmt.Sprintf("example.test/%050d", n)] = strings.Repeat("y", 60)
		}
		return r
	})
	s.converges(time.Minute)

	// Under a schema without any limit the controller itself refuses them.
	crd := s.schema()
	crd.relax()
	for name, fields := range map[string]map[string]any{
		"url":   {"infoURL": "https://x/" + strings.Repeat("x", 1200<<10)},
		"owner": {"owner": strings.Repeat("x", 1200<<10)},
		"path":  {"callbacks": []any{map[string]any{"name": "login", "path": "/" + strings.Repeat("a/", 600<<10) + "a", "pathType": "Exact"}}},
	} {
		s.Expect(s.tolerant.Create(s.ctx, s.raw("identity", "huge-"+name, s.altered("huge-"+name, fields)))).To(Succeed(), name)
	}
	s.converges(time.Minute)
	for _, name := range []string{"url", "path"} {
		accepted := s.condition("identity", "huge-"+name, callbackv1alpha1.ConditionAccepted)
		s.Expect(accepted.Status).To(Equal(metav1.ConditionFalse), name)
		s.Expect(len(accepted.Message)).To(BeNumerically("<", 4096), name)
	}
	crd.restore()
	s.converging(5 * time.Second)

	after, afterProxy := s.memory()
	most, mostProxy := mib(after.Peak, before.Resident), mib(afterProxy.Peak, beforeProxy.Resident)
	s.record("%d kinds of huge routes refused by the schema, 2 by the controller; %d of the largest valid ones are served, %d of about 1 MiB beside their spec; RSS manager +%.0f MiB (%.0f before), proxy +%.0f MiB (%.0f before)",
		len(refused), valid, burdened, most, mib(before.Resident, 0), mostProxy, mib(beforeProxy.Resident, 0))
	if !raceEnabled {
		s.Expect(most).To(BeNumerically("<=", 64))
		s.Expect(mostProxy).To(BeNumerically("<=", 64))
	}
	s.finish()
}

// post sends bytes that no client library would send as a route to the API
// server, and returns the status of the response.
func (s *system) post(namespace, name, spec string) int {
	s.t.Helper()
	httpClient, err := rest.HTTPClientFor(s.ControlPlane.Config)
	s.Expect(err).NotTo(HaveOccurred())
	body := fmt.Sprintf(`{"apiVersion":"callbackproxy.io/v1alpha1","kind":"CallbackRoute","metadata":{"name":%q},"spec":%s}`, name, spec)
	response, err := httpClient.Post(s.ControlPlane.Config.Host+"/apis/callbackproxy.io/v1alpha1/namespaces/"+namespace+"/callbackroutes",
		"application/json", strings.NewReader(body))
	s.Expect(err).NotTo(HaveOccurred())
	_ = response.Body.Close()
	return response.StatusCode
}

// hugeSpecs are those that no schema may accept.
func (s *system) hugeSpecs() map[string]string {
	s.t.Helper()
	deep := strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000)
	return map[string]string{
		"1.5 MiB of text": s.altered("x", map[string]any{"owner": strings.Repeat("x", 3<<19)}),
		"4 MiB of text":   s.altered("x", map[string]any{"owner": strings.Repeat("x", 4<<20)}),
		"20000 deep":      `{"proxyRef":` + deep + `}`,
		"many hosts":      s.altered("x", map[string]any{"hostnames": make([]string, 20000)}),
		"many backends":   s.altered("x", map[string]any{"backends": make([]map[string]any, 9)}),
		"many callbacks":  s.altered("x", map[string]any{"callbacks": make([]map[string]any, 17)}),
		"long path":       s.altered("x", map[string]any{"callbacks": []any{map[string]any{"name": "login", "path": "/" + strings.Repeat("x", 1024)}}}),
		"long URL":        s.altered("x", map[string]any{"infoURL": "https://x/" + strings.Repeat("x", 2048)}),
	}
}

// largest is the i-th route with the longest names and paths that the schema
// permits on one host.
func largest(i int) *callbackv1alpha1.CallbackRoute {
	path := fmt.Sprintf("/%d/", i)
	r := claim{namespace: "tenant-a", name: fmt.Sprintf("%0253d", i), host: openHost, service: "idp"}.object()
	r.Spec.Callbacks[0].Name = strings.Repeat("c", 63)
	r.Spec.Callbacks[0].Path = callbackv1alpha1.CallbackPath(path + strings.Repeat("x", 1024-len(path)))
	r.Spec.InfoURL = "https://wiki.acme.test/" + strings.Repeat("x", 2048-len("https://wiki.acme.test/"))
	r.Spec.Owner = strings.Repeat("o", 256)
	only := r.Spec.Backends[0]
	r.Spec.Backends = nil
	for n := range 8 {
		b := only
		b.Name = strings.Repeat("b", 62) + fmt.Sprint(n)
		b.Paths = []callbackv1alpha1.BackendPath{{
			Callback: r.Spec.Callbacks[0].Name, Path: callbackv1alpha1.CallbackPath("/" + strings.Repeat("y", 1023)),
		}}
		b.Weight = new(int32(n / 7 * 100))
		r.Spec.Backends = append(r.Spec.Backends, b)
	}
	return r
}
