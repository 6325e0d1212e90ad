// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/dynamic/fake"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write what is printed into testdata")

// ran is what a command printed.
type ran struct {
	code           int
	stdout, stderr string
}

func run(t *testing.T, stdin string, args ...string) ran {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	var stdout, stderr bytes.Buffer
	code := command(t.Context(), args, genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &stdout, ErrOut: &stderr})
	return ran{code, stdout.String(), stderr.String()}
}

const proxyFile = "--proxy-file=testdata/callbackproxies.yaml"

// Each case is a file of manifests and what inject prints of it; a second run
// over that prints the same.
func TestInject_Golden(t *testing.T) {
	for name, args := range map[string][]string{
		"kinds":    {"-n=identity"},
		"crowded":  {"-n=identity", "--image=registry.example/callback-proxy@sha256:0123"},
		"list":     {"-n=identity", "-o=json"},
		"all":      {"--proxy=edge"},
		"replaced": {"-n=identity"},
		"root":     {"-n=identity"},
	} {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", name+".out.yaml")
			args := append([]string{"inject", proxyFile}, args...)
			got := run(t, "", append(args, "-f", filepath.Join("testdata", name+".in.yaml"))...)
			if got.code != 0 || got.stderr != "" {
				t.Fatalf("exit %d: %s", got.code, got.stderr)
			}
			if *update {
				if err := os.WriteFile(golden, []byte(got.stdout), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.stdout != string(want) {
				t.Errorf("printed (run with -update to accept)\n%s", got.stdout)
			}
			if again := run(t, got.stdout, append(args, "-f", "-")...); again != got {
				t.Errorf("second run: exit %d, %s\n%s", again.code, again.stderr, again.stdout)
			}
		})
	}
}

// pod is a manifest with these labels and containers.
func podWith(labels, spec string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: app, namespace: identity, labels: {" + labels + "}}\nspec: {" + spec + "}\n"
}

const labelled = "callbackproxy.io/inject: edge"

// annotated is a pod with the annotation of its protocol, and a name of its port.
func annotated(protocol, port string) string {
	return strings.Replace(podWith(labelled, "containers: [{name: app, ports: [{name: "+port+", containerPort: 3000}]}]"),
		"labels:", "annotations: {callbackproxy.io/app-protocol: "+protocol+"}, labels:", 1)
}

// F57: only a port behind the sidecar whose name stands for HTTP/2 is refused, and
// the annotation decides over the name.
func TestF57_Inject_AcceptsHTTP1(t *testing.T) {
	for name, manifest := range map[string]string{
		"annotation": annotated("http", "grpc-api"), "gRPC-Web": podWith(labelled, "containers: [{name: app, ports: [{name: grpc-web, containerPort: 3000}]}]"),
		"another port": podWith(labelled, "containers: [{name: app, ports: [{name: grpc, containerPort: 3001}, {name: http, containerPort: 3000}]}]"),
	} {
		if got := run(t, manifest, "inject", "-f", "-", proxyFile); got.code != 0 {
			t.Errorf("%s: exit %d, %s", name, got.code, got.stderr)
		}
	}
}

// Errors contain the object and the remedy; nothing is printed of it.
func TestInject_Refusals(t *testing.T) {
	for _, tc := range []struct {
		name, manifest string
		args           []string
		want           string
	}{
		{
			"the second of two", podWith(labelled, "") + "---\n" + podWith(`callbackproxy.io/inject: ""`, ""), nil,
			"error: inject into Pod identity/app: the label callbackproxy.io/inject is empty: let it name a CallbackProxy\n",
		},
		{
			"unknown proxy", podWith("callbackproxy.io/inject: absent", ""), nil,
			"error: inject into Pod identity/app: testdata/callbackproxies.yaml holds no CallbackProxy named absent: correct the label or --proxy\n",
		},
		{"wrong mode", podWith("callbackproxy.io/inject: fleet", ""), nil, "error: inject into Pod identity/app: CallbackProxy identity/fleet has no sidecar (mode Deployment): " +
			"set spec.mode to Sidecar, and spec.sidecar.appPort to the application's port\n"},
		{"no mode", podWith("callbackproxy.io/inject: modeless", ""), nil, "error: inject into Pod identity/app: CallbackProxy identity/modeless has no sidecar (mode none): " +
			"set spec.mode to Sidecar, and spec.sidecar.appPort to the application's port\n"},
		{"another namespace's", podWith("callbackproxy.io/inject: elsewhere", ""), nil, "error: inject into Pod identity/app: CallbackProxy elsewhere in testdata/callbackproxies.yaml " +
			"is of namespace other, the pod of identity: a sidecar is of its pod's own namespace\n"},
		{
			"no namespace", strings.Replace(podWith(labelled, ""), ", namespace: identity", "", 1), nil,
			"error: inject into Pod app: its namespace is not known, and the sidecar needs it: set metadata.namespace, or give -n\n",
		},
		{
			"empty label", podWith(`callbackproxy.io/inject: ""`, ""), nil,
			"error: inject into Pod identity/app: the label callbackproxy.io/inject is empty: let it name a CallbackProxy\n",
		},
		{
			"label and flag differ", podWith(labelled, ""),
			[]string{"--proxy=fleet"},
			"error: inject into Pod identity/app: the label callbackproxy.io/inject names \"edge\", --proxy names \"fleet\": change one of them\n",
		},
		{"port taken", podWith(labelled, "containers: [{name: app, ports: [{containerPort: 8080}]}]"), nil, "error: inject into Pod identity/app: container app uses port 8080, " +
			"on which the sidecar accepts callbacks: give one of them another port (spec.listener.port of the CallbackProxy)\n"},
		{
			"admin port taken", podWith(labelled, "initContainers: [{name: metrics, ports: [{containerPort: 9090}]}]"), nil,
			"error: inject into Pod identity/app: container metrics uses port 9090, which is the sidecar's admin port: give it another one\n",
		},
		{
			"gRPC by the port's name", podWith(labelled, "containers: [{name: app, ports: [{name: grpc-api, containerPort: 3000}]}]"), nil,
			"error: inject into Pod identity/app: the sidecar speaks HTTP/1.1, and port 3000 behind it is named grpc-api, which stands for HTTP/2: " +
				"let the application serve the callbacks on a port of its own with HTTP/1.1 (spec.sidecar.appPort), " +
				"or set the annotation callbackproxy.io/app-protocol to http if it speaks HTTP/1.1 there\n",
		},
		{
			"h2c by the annotation", annotated("kubernetes.io/h2c", "web"), nil,
			"error: inject into Pod identity/app: the sidecar speaks HTTP/1.1, and the annotation callbackproxy.io/app-protocol states that the application speaks kubernetes.io/h2c: " +
				"let the application serve the callbacks on a port of its own with HTTP/1.1 (spec.sidecar.appPort)\n",
		},
		{"name taken", podWith(labelled, "containers: [{name: callback-proxy}]"), nil, "error: inject into Pod identity/app: a container is named callback-proxy already: rename it\n"},
		{"no image", "", []string{"--image="}, "error: --image is empty: name the image of the sidecar, such as callback-proxy:dev\n"},
		{"output", "", []string{"-o=table"}, "error: --output must be yaml or json, not \"table\"\n"},
		{"no proxies in the file", "", []string{"--proxy-file=testdata/all.in.yaml"}, "error: testdata/all.in.yaml holds no CallbackProxy of callbackproxy.io/v1alpha1\n"},
		{"no such file", "", []string{"--proxy-file=testdata/none.yaml"}, "error: read CallbackProxies: open testdata/none.yaml: no such file or directory\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := run(t, tc.manifest, append([]string{"inject", "-f", "-", proxyFile}, tc.args...)...)
			if got.code != 1 || got.stdout != "" || got.stderr != tc.want {
				t.Errorf("exit %d, printed %q, stderr\n%swant\n%s", got.code, got.stdout, got.stderr, tc.want)
			}
		})
	}
}

func TestInject_ReportsThatNoPodIsLabelled(t *testing.T) {
	got := run(t, podWith("", "containers: [{name: app}]"), "inject", proxyFile, "-f", "-")
	if got.code != 0 || !strings.HasPrefix(got.stderr, "warning: nothing was injected: ") || !strings.Contains(got.stdout, "kind: Pod") || strings.Contains(got.stdout, "callback-proxy") {
		t.Errorf("exit %d, stderr %q, printed\n%s", got.code, got.stderr, got.stdout)
	}
}

func TestInject_RequiresManifests(t *testing.T) {
	if got := run(t, "", "inject", proxyFile); got.code != 1 || got.stderr != "error: nothing to inject into: name manifests with -f, or -f - for the standard input\n" {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
}

// Without a file the CallbackProxy is the one of the object's namespace in the
// cluster, or of the one that -n chose.
func TestInject_AsksTheCluster(t *testing.T) {
	spec := map[string]any{"mode": "Sidecar", "sidecar": map[string]any{"appPort": int64(3000)}}
	kind := schema.GroupVersionResource{Group: "callbackproxy.io", Version: "v1alpha1", Resource: "callbackproxies"}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{kind: "CallbackProxyList"},
		&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": callbackv1alpha1.SchemeGroupVersion.String(), "kind": "CallbackProxy",
			"metadata": map[string]any{"namespace": "identity", "name": "edge"}, "spec": spec,
		}})
	proxies := &clusterProxies{client}
	proxy, err := proxies.Get(t.Context(), "identity", "edge")
	if err != nil || proxy.Spec.Sidecar.AppPort != 3000 {
		t.Errorf("found %+v, %v", proxy, err)
	}
	_, err = proxies.Get(t.Context(), "other", "edge")
	want := "namespace other has no CallbackProxy edge: create it, correct the label or --proxy, or choose the namespace with -n"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestVersion(t *testing.T) {
	if got := run(t, "", "version"); got != (ran{0, "kubectl-callback dev\n", ""}) {
		t.Errorf("printed %+v", got)
	}
}
