// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/cluster/app/record"
)

func TestBook_RecordsTheCallbacksOfALoadAndPassesTheRestOn(t *testing.T) {
	g := NewWithT(t)
	passed := 0
	handler := record.New("green", []string{"/callback"}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ }))
	ask := func(method, target, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}

	g.Expect(ask("GET", "/callback?code=c&state=load-a-1", "").Body.String()).To(ContainSubstring(`"backend":"green"`))
	ask("POST", "/callback", "state=load-a-2&code=c")
	ask("POST", "/callback", "state=load-a-2&code=d")
	ask("GET", "/callback?state=load-b-1", "")
	g.Expect(passed).To(Equal(0))

	ask("GET", "/callback?state=somebody", "")
	ask("GET", "/callback", "")
	ask("GET", "/other?state=load-a-3", "")
	g.Expect(passed).To(Equal(3), "a real login, no state, and another path")

	var got record.Deliveries
	g.Expect(json.Unmarshal(ask("GET", record.Path+"?prefix=load-a-", "").Body.Bytes(), &got)).To(Succeed())
	g.Expect(got).To(Equal(record.Deliveries{Backend: "green", Deliveries: map[string]record.Delivery{
		"load-a-1": {Sums: []string{record.Sum("GET", "code=c&state=load-a-1", nil)}},
		"load-a-2": {Sums: []string{
			record.Sum("POST", "", []byte("state=load-a-2&code=c")), record.Sum("POST", "", []byte("state=load-a-2&code=d")),
		}},
	}}))
}

func TestSum_IsOfEveryByte(t *testing.T) {
	g := NewWithT(t)
	sums := map[string]bool{}
	for _, sum := range []string{
		record.Sum("GET", "a=b", nil), record.Sum("POST", "a=b", nil), record.Sum("GET", "a=%62", nil),
		record.Sum("GET", "", []byte("a=b")), record.Sum("GET", "a=b", []byte("x")),
	} {
		sums[sum] = true
	}
	g.Expect(sums).To(HaveLen(5))
}
