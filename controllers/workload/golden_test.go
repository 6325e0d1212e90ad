// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// scenario is the first document of an input file; the second is the
// CallbackProxy.
type scenario struct {
	Options struct {
		Image            string            `json:"image"`
		PullPolicy       corev1.PullPolicy `json:"pullPolicy"`
		PullSecrets      []string          `json:"pullSecrets"`
		ClusterRole      string            `json:"clusterRole"`
		ManagerNamespace string            `json:"managerNamespace"`
	} `json:"options"`
	// Replicas is the number of proxies that an autoscaler decided; 0: the spec decides.
	Replicas int32 `json:"replicas"`

	proxy callbackv1alpha1.CallbackProxy
}

func (s *scenario) options() Options {
	o := s.Options
	return Options{
		Image: o.Image, PullPolicy: o.PullPolicy, PullSecrets: o.PullSecrets, ManagerNamespace: o.ManagerNamespace,
		ClusterRole: cmp.Or(o.ClusterRole, "callback-proxy"),
	}
}

// load reads an input file. The CRD defaults and validates the CallbackProxy, so
// each file shows an object that can be stored.
func load(t testing.TB, file string) *scenario {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, second, found := strings.Cut(string(data), "\n---\n")
	if !found {
		t.Fatalf("%s has no second document", file)
	}
	s := &scenario{}
	if err := yaml.UnmarshalStrict([]byte(first), s); err != nil {
		t.Fatal(err)
	}
	object, err := schema.ParseYAML([]byte(second))
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := schema.Load("../../config/crd/bases")
	if err != nil {
		t.Fatal(err)
	}
	if errs := schemas["CallbackProxy"].Admit(object); len(errs) > 0 {
		t.Fatalf("%s: %v", file, errs.ToAggregate())
	}
	stored, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(stored, &s.proxy); err != nil {
		t.Fatal(err)
	}
	return s
}

// print returns the objects of a scenario, as they are applied.
func (s *scenario) print(t testing.TB) []byte {
	t.Helper()
	var out []any
	if s.proxy.Spec.Mode == callbackv1alpha1.ModeDeployment {
		objects, err := Objects(&s.proxy, s.options(), cmp.Or(s.Replicas, Replicas(&s.proxy)))
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range objects {
			out = append(out, object.Object)
		}
	} else {
		binding, err := RoleBinding(&s.proxy, s.options())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, binding.Object)
	}
	if s.proxy.Spec.Mode == callbackv1alpha1.ModeSidecar {
		out = append(out, map[string]any{"container": Container(&s.proxy, s.Options.Image, nil), "volumes": Volumes()})
	}
	var printed bytes.Buffer
	for i, object := range out {
		data, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			printed.WriteString("---\n")
		}
		printed.Write(data)
	}
	return printed.Bytes()
}

// Each testdata/NAME.in.yaml has its objects in NAME.out.yaml.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no input files (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			data := load(t, file).print(t)
			golden := strings.Replace(file, ".in.yaml", ".out.yaml", 1)
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
			if !bytes.Equal(data, want) {
				t.Errorf("%s differs (go test ./controllers/workload -update rewrites it); now:\n%s", golden, data)
			}
		})
	}
}
