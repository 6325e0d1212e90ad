// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// samples.go applies config/samples, and derives the second route from it.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/callbackproxy/callback-operator/test/installation"
)

const samples = "config/samples"

// applySamples applies config/samples as it is, unless its port is in use.
func (d *demo) applySamples(ctx context.Context) error {
	kustomization, err := d.kustomization()
	if err != nil {
		return err
	}
	if _, err := d.kubectl.show(ctx, "apply", "--server-side", "-k", kustomization); err != nil {
		return err
	}
	return d.serveBackends(ctx)
}

// kustomization returns config/samples, or an overlay that changes the port of
// the listener to the one that the demo uses.
func (d *demo) kustomization() (string, error) {
	declared, err := samplePort()
	if err != nil || declared == d.port {
		return samples, err
	}
	d.printf("Port %d is in use on this machine: an overlay changes the listener's port to %d.", declared, d.port)
	base, err := installation.Path(samples)
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(d.dir, "samples")
	relative, err := filepath.Rel(overlay, base) // kustomize refuses absolute paths
	if err != nil {
		return "", fmt.Errorf("find the samples: %w", err)
	}
	if err := os.Mkdir(overlay, 0o700); err != nil {
		return "", fmt.Errorf("create the overlay: %w", err)
	}
	content := fmt.Sprintf("resources: [%q]\npatches:\n- target: {kind: CallbackProxy, name: %s}\n"+
		"  patch: '[{\"op\":\"replace\",\"path\":\"/spec/listener/port\",\"value\":%d}]'\n", relative, proxyName, d.port)
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return overlay, nil
}

// choosePort returns the port of the sample's listener when it is free, or
// another one.
func (d *demo) choosePort(ctx context.Context) (int, error) {
	declared, err := samplePort()
	if err != nil {
		return 0, err
	}
	for _, port := range []int{declared, 0} {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if port == declared {
			address = ":" + strconv.Itoa(port) // free on all addresses
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err == nil {
			return listener.Addr().(*net.TCPAddr).Port, listener.Close()
		}
	}
	return 0, errors.New("choose the listener's port: none is free")
}

func samplePort() (int, error) {
	proxy, err := readSample("1-platform.yaml", "CallbackProxy")
	if err != nil {
		return 0, err
	}
	port, found, err := unstructured.NestedInt64(proxy.Object, "spec", "listener", "port")
	if err != nil || !found {
		return 0, errors.Join(errors.New("read the listener's port of the sample"), err)
	}
	return int(port), nil
}

// partnerManifest returns the sample's route with another name and another path
// for its one callback.
func partnerManifest() (string, error) {
	route, err := readSample("3-route.yaml", "CallbackRoute")
	if err != nil {
		return "", err
	}
	route.SetName(partnerRoute)
	callbacks := []any{map[string]any{"name": "login", "path": partnerPath}}
	if err := unstructured.SetNestedSlice(route.Object, callbacks, "spec", "callbacks"); err != nil {
		return "", fmt.Errorf("set the callback: %w", err)
	}
	manifest, err := yaml.Marshal(route.Object)
	if err != nil {
		return "", fmt.Errorf("encode the second route: %w", err)
	}
	return string(manifest), nil
}

// readSample returns the first object of a kind in a file of config/samples.
func readSample(file, kind string) (*unstructured.Unstructured, error) {
	path, err := installation.Path(filepath.Join(samples, file))
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read sample: %w", err)
	}
	for document := range strings.SplitSeq("\n"+string(content), "\n---\n") {
		encoded, err := yaml.YAMLToJSON([]byte(document))
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", file, err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(encoded); err == nil && object.GetKind() == kind {
			return object, nil
		}
	}
	return nil, fmt.Errorf("read %s: it has no %s", file, kind)
}
