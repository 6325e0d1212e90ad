// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// The CRD is upgraded and rolled back, with routes stored, and with the same
// manager: first to one with an additional field, then to one that lacks a field
// that is in use. No callback fails, and the manager's writes remove nothing from
// a stored spec. (There is one version of the API, so nothing is converted; a
// field that an older schema prunes returns unless a client wrote the object
// meanwhile.)
func TestF20_TheCRDIsUpgradedAndRolledBack(t *testing.T) {
	t.Parallel()
	s := start(t, "F20", options{alone: true})
	crd := s.schema()
	routes, seed := times(150, 1900), uint64(time.Now().UnixNano())
	s.createMany(routes, func(i int) *callbackv1alpha1.CallbackRoute { return randomRoute(i, seed) })
	s.convergesPolled(2*time.Minute, 300*time.Millisecond)
	original, version := s.storedSpecs(), s.published().Generation

	// Up: a newer release's field.
	newer := crd.proper.DeepCopy()
	spec := newer.Properties["spec"]
	spec.Properties["ticket"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	newer.Properties["spec"] = spec
	crd.set(newer, func() error { return crd.keeps("ticket") })
	s.Expect(s.storedSpecs()).To(Equal(original), "nothing changed by the upgrade")
	s.Expect(s.published().Generation).To(Equal(version), "and nothing was published")
	const marked = 20
	for i := range marked {
		object := randomRoute(i, seed)
		body := []byte(`{"spec":{"ticket":"T-1","owner":"marked@acme.test"}}`)
		s.Expect(s.Client.Patch(s.ctx, object, client.RawPatch(types.MergePatchType, body))).To(Succeed())
	}
	s.converges(patience)
	withTicket := s.storedSpecs()
	s.Expect(holding(withTicket, `"ticket":"T-1"`)).To(Equal(marked), "the statuses that an older manager wrote removed no field")

	// Back, and up again.
	crd.set(crd.proper, func() error { return crd.prunes("ticket") })
	s.converges(patience)
	s.Expect(holding(s.storedSpecs(), `"ticket"`)).To(BeZero())
	crd.set(newer, func() error { return crd.keeps("ticket") })
	s.converges(patience)
	again := holding(s.storedSpecs(), `"ticket":"T-1"`)

	// Down, to a release that has no infoURL, and back.
	older := crd.proper.DeepCopy()
	spec = older.Properties["spec"]
	delete(spec.Properties, "infoURL")
	older.Properties["spec"] = spec
	urls := holding(original, `"infoURL"`)
	crd.set(older, func() error { return crd.prunes("infoURL") })
	s.convergesPolled(time.Minute, 300*time.Millisecond)
	s.Expect(holding(s.storedSpecs(), `"infoURL"`)).To(BeZero())
	crd.set(newer, func() error { return crd.keeps("infoURL") })
	took := s.converges(time.Minute)
	final := s.storedSpecs()
	s.record("%d random routes (seed %d), CRD changed 5 times: an additional field stayed on %d of %d after its writes and on %d after a rollback; a field that an older CRD lacks returned on %d of %d; converged %.1f s after the last change",
		routes, seed, holding(withTicket, `"ticket":"T-1"`), marked, again, holding(final, `"infoURL"`), urls, took.Seconds())
	s.Expect(again).To(Equal(marked))
	for key := range original {
		if !strings.Contains(withTicket[key], `"ticket"`) {
			s.Expect(final[key]).To(Equal(original[key]), key)
		}
	}
	s.finish()
}

// keeps returns an error unless the API server keeps a field of a spec.
func (x *schema) keeps(field string) error {
	kept, err := x.kept(field)
	if err == nil && !kept {
		err = fmt.Errorf("the API server still prunes %s", field)
	}
	return err
}

// prunes returns an error unless the API server prunes a field of a spec.
func (x *schema) prunes(field string) error {
	kept, err := x.kept(field)
	if err == nil && kept {
		err = fmt.Errorf("the API server still keeps %s", field)
	}
	return err
}

func (x *schema) kept(field string) (bool, error) {
	x.s.t.Helper()
	object := x.s.raw("identity", "probe", x.s.altered("probe", map[string]any{field: "https://probe.acme.test/"}))
	if err := x.s.tolerant.Create(x.s.ctx, object, client.DryRunAll); err != nil {
		return false, err
	}
	spec, _ := object.Object["spec"].(map[string]any)
	_, kept := spec[field]
	return kept, nil
}

// holding counts the specs with a text in them.
func holding(specs map[string]string, text string) int {
	n := 0
	for _, spec := range specs {
		if strings.Contains(spec, text) {
			n++
		}
	}
	return n
}

// randomRoute is the i-th of many routes that use the schema's fields at random.
func randomRoute(i int, seed uint64) *callbackv1alpha1.CallbackRoute {
	random := rand.New(rand.NewPCG(seed, uint64(i)))
	sometimes := func() bool { return random.IntN(2) == 0 }
	r := claim{
		namespace: tenants[i%len(tenants)], name: fmt.Sprintf("random-%05d", i), host: openHost,
		path: fmt.Sprintf("/random/%05d", i), service: "idp",
	}.object()
	r.Spec.Protocol = []callbackv1alpha1.Protocol{
		callbackv1alpha1.ProtocolOIDC, callbackv1alpha1.ProtocolOAuth2, callbackv1alpha1.ProtocolSAML, callbackv1alpha1.ProtocolOpaque,
	}[random.IntN(4)]
	if sometimes() {
		r.Spec.InfoURL = fmt.Sprintf("https://wiki.acme.test/%d?q=%%C3%%A4", random.Uint64())
	}
	if sometimes() {
		r.Spec.Callbacks[0].PathType = callbackv1alpha1.PathPrefix
	}
	if sometimes() {
		r.Spec.Callbacks = append(r.Spec.Callbacks, callbackv1alpha1.Callback{
			Name: "logout", Path: r.Spec.Callbacks[0].Path + "%2Flogout", PathType: callbackv1alpha1.PathExact,
		})
	}
	if sometimes() {
		r.Spec.Timeouts.RequestSeconds = 1 + random.Int32N(300)
	}
	if sometimes() {
		r.Spec.DeprecationTime = &metav1.Time{Time: r.Spec.SunsetTime.Add(-time.Duration(random.IntN(1000)) * time.Hour)}
	}
	if sometimes() {
		r.Spec.Owner = fmt.Sprintf("tëam <%d> & \"söns\"", random.Uint64())
	}
	return r
}
