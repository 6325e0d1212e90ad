// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/schema"
	"github.com/callbackproxy/callback-operator/test/schema/specimen"
)

var schemas = sync.OnceValues(func() (map[string]*schema.Schema, error) { return schema.Load("../../config/crd/bases") })

func mustSchemas(t testing.TB) map[string]*schema.Schema {
	t.Helper()
	all, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// draw is how to draw a specimen of each kind, and how many.
var draw = map[string]struct {
	specimen func(r *rand.Rand, namespace, name string, edges int) specimen.Object
	count    int
}{
	"CallbackRoute":       {specimen.Route, 100_000},
	"CallbackProxy":       {specimen.Proxy, 50_000},
	"CallbackProxyConfig": {specimen.Config, 50_000},
}

// B11: one stored object that Go cannot decode stops the whole type. So every
// object that the schema accepts must decode: 200,000 objects near the edges of
// every field (a twentieth of them under the race detector, which finds nothing
// here).
func TestB11_WhatTheSchemaAcceptsDecodes(t *testing.T) {
	t.Parallel()
	decoder := decoder(t)
	for kind, d := range draw {
		count := d.count
		if raceEnabled || testing.Short() {
			count /= 20
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			judge := mustSchemas(t)[kind]
			random := rand.New(rand.NewPCG(11, uint64(d.count)))
			accepted := 0
			for i := range count {
				sent := specimen.JSON(d.specimen(random, "identity", fmt.Sprint("x", i), i%4))
				stored, err := schema.ParseJSON(sent)
				if err != nil || len(judge.Admit(stored)) > 0 {
					continue // refused
				}
				accepted++
				data, err := json.Marshal(stored)
				if err != nil {
					t.Fatalf("object %d: %v", i, err)
				}
				if _, _, err := decoder.Decode(data, nil, nil); err != nil {
					t.Errorf("object %d is stored as\n%s\nand cannot be decoded: %v", i, data, err)
				}
			}
			t.Logf("%d of %d objects are accepted", accepted, count)
			if accepted < count/5 || accepted > count*9/10 {
				t.Errorf("%d of %d objects are accepted: the objects show too little", accepted, count)
			}
		})
	}
}

// The validator of the 200,000 is the API server's own code; this test shows that
// it is assembled as in the API server.
func TestB11_TheServerJudgesAlike(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	for kind, d := range draw {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(12, uint64(d.count)))
			accepted := 0
			for i := range 250 {
				sent := specimen.JSON(d.specimen(random, metav1.NamespaceDefault, fmt.Sprint("x", i), i%3))
				local, err := schema.ParseJSON(sent)
				if err != nil {
					continue
				}
				refusals := mustSchemas(t)[kind].Admit(local)
				stored, err := s.tryPost(t.Context(), kind, sent)
				if (len(refusals) == 0) != (err == nil) {
					t.Errorf("object %d:\n%s\nhere: %v\nthe server: %v", i, sent, refusals, err)
				}
				if err != nil {
					continue
				}
				accepted++
				if got, want := asJSON(t, stored["spec"]), asJSON(t, local["spec"]); got != want {
					t.Errorf("object %d is stored as\n%s\nnot as\n%s", i, got, want)
				}
			}
			if accepted < 50 || accepted > 225 {
				t.Errorf("%d of 250 objects are accepted: the objects show too little", accepted)
			}
		})
	}
}

func decoder(t testing.TB) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := callbackv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return serializer.NewCodecFactory(scheme).UniversalDeserializer()
}
