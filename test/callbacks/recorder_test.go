// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

func TestRecorder_SeparatesCallbacksOfALoadFromOthers(t *testing.T) {
	g := NewWithT(t)
	recorder := callbacks.NewRecorder("green", nil)
	send := func(method, target, body string) string {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		w := httptest.NewRecorder()
		recorder.ServeHTTP(w, r)
		return w.Body.String()
	}
	g.Expect(send("GET", "/cb?state=load-a-1&code=c", "")).To(Equal("green"))
	send("POST", "/c%2fb?flow=load-a-2&z=1", "state=load-a-2&code=c")
	send("POST", "/cb?flow=load-a-2&z=1", "state=load-a-2&code=d")
	send("GET", "/cb?code=c&state=load-b-1", "")
	send("GET", "/cb?code=c&state=user", "")

	record, err := recorder.Deliveries(t.Context(), "load-a-")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(record.Backend).To(Equal("green"))
	g.Expect(record.Deliveries).To(HaveLen(3))
	g.Expect(record.Deliveries[1]).To(And(HaveField("ID", "load-a-2"), HaveField("Path", "/c%2fb")))
	g.Expect(record.Deliveries[1].Sum).NotTo(Equal(record.Deliveries[2].Sum), "the body is part of the digest")
	g.Expect(recorder.Received()).To(Equal([]string{"/cb?code=c&state=user"}))
	g.Expect(recorder.Count()).To(Equal(5))
}

func TestRemote_ReadsTheRecordOfAnotherProcess(t *testing.T) {
	g := NewWithT(t)
	backend := startBackend(t, "green", nil)
	callbacks.Get(t.Context(), backend.Address(), "auth.acme.test", "/cb?state=load-a-1")
	callbacks.Get(t.Context(), backend.Address(), "auth.acme.test", "/cb?state=load-b-1")

	own, err := backend.Deliveries(t.Context(), "load-a-")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(own.Deliveries).To(HaveLen(1))
	g.Expect(callbacks.Remote{Name: "green", Address: backend.Address()}.Deliveries(t.Context(), "load-a-")).To(Equal(own))

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = callbacks.Remote{Name: "blue", Address: backend.Address()}.Deliveries(ctx, "load-a-")
	g.Expect(err).To(MatchError(ContainSubstring("its name is green")))
}
