// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
)

// F12: one undecodable object does not fail the list that it is in.
func TestF12_RouteList_DecodesAnyRoute(t *testing.T) {
	for name, tc := range map[string]struct {
		spec  string
		fails bool
	}{
		"decodable":        {`{"proxyRef":{"name":"edge"},"sunsetTime":"2027-01-31T00:00:00Z","owner":"me"}`, false},
		"lower-case time":  {`{"proxyRef":{"name":"edge"},"sunsetTime":"2027-01-31t00:00:00z"}`, true},
		"impossible zone":  {`{"proxyRef":{"name":"edge"},"sunsetTime":"2027-01-31T00:00:00-25:99"}`, true},
		"number too large": {`{"proxyRef":{"name":"edge"},"timeouts":{"requestSeconds":99999999999}}`, true},
		"wrong type":       {`{"proxyRef":{"name":"edge"},"backends":"blue","owner":"me"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var list RouteList
			object := `{"metadata":{"name":"acme","namespace":"identity"},"spec":` + tc.spec + `,"status":{"observedGeneration":3}}`
			g.Expect(json.Unmarshal([]byte(`{"items":[`+object+`]}`), &list)).To(Succeed())
			route := &list.Items[0]
			failed, hasOwner := route.DecodeError != "", route.Spec.Owner != ""
			g.Expect(failed).To(Equal(tc.fails), route.DecodeError)
			g.Expect([]string{route.Namespace, route.Name}).To(Equal([]string{"identity", "acme"}))
			g.Expect(route.Spec.ProxyRef.Name).To(BeEquivalentTo("edge"))
			g.Expect(hasOwner).To(Equal(!tc.fails), "of an undecodable spec only proxyRef is kept")
			g.Expect(route.Status.ObservedGeneration).To(BeEquivalentTo(3))
		})
	}
}

func TestProxyList_DecodesAnyProxy(t *testing.T) {
	g := NewWithT(t)
	var list ProxyList
	g.Expect(json.Unmarshal([]byte(`{"items":[
		{"metadata":{"name":"no-port"},"spec":{"listener":{"port":"http"}},"status":{"configGeneration":7}},
		{"metadata":{"name":"no-spec"},"spec":"?","status":{"configGeneration":"?"}},
		{"metadata":{"name":"no-status"},"spec":{"listener":{"port":8080}},"status":{"configGeneration":"?"}}
	]}`), &list)).To(Succeed())
	g.Expect(list.Items).To(HaveLen(3))
	g.Expect(list.Items[0].DecodeError).To(ContainSubstring("port"))
	g.Expect(list.Items[0].Status.ConfigGeneration).To(BeEquivalentTo(7))
	g.Expect(list.Items[1].DecodeError).NotTo(BeEmpty())
	g.Expect(list.Items[1].Name).To(Equal("no-spec"))
	g.Expect(list.Items[2].DecodeError).To(BeEmpty(), "the controller writes a whole status anyway")
	g.Expect(list.Items[2].Spec.Listener.Port).To(BeEquivalentTo(8080))

	copied, is := list.DeepCopyObject().(*ProxyList)
	g.Expect(is).To(BeTrue())
	g.Expect(copied).To(Equal(&list))
}

func TestRoute_RefusesWhatIsNoObject(t *testing.T) {
	for _, data := range []string{`[]`, `"x"`, `{"metadata":"x"}`} {
		if err := json.Unmarshal([]byte(data), &Route{}); err == nil {
			t.Errorf("%s is decoded", data)
		}
	}
}
