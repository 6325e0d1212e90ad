// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// manifest is the documents of one file of config/samples.
type manifest []*unstructured.Unstructured

func readManifest(path string) (manifest, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read sample: %w", err)
	}
	var m manifest
	for document := range strings.SplitSeq("\n"+string(content), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			return nil, fmt.Errorf("parse sample: %w", err)
		}
		if len(object.Object) > 0 {
			m = append(m, object)
		}
	}
	return m, nil
}

// find returns the document of a kind and name.
func (m manifest) find(kind, name string) (*unstructured.Unstructured, error) {
	for _, object := range m {
		if object.GetKind() == kind && object.GetName() == name {
			return object, nil
		}
	}
	return nil, fmt.Errorf("find %s %s: it is not in the samples", kind, name)
}

func (m manifest) yaml() (string, error) {
	var documents []string
	for _, object := range m {
		document, err := yaml.Marshal(object.Object)
		if err != nil {
			return "", fmt.Errorf("write manifest: %w", err)
		}
		documents = append(documents, string(document))
	}
	return strings.Join(documents, "---\n"), nil
}

// setListenerPort puts another port into a CallbackProxy.
func setListenerPort(object *unstructured.Unstructured, port int) error {
	if err := unstructured.SetNestedField(object.Object, int64(port), "spec", "listener", "port"); err != nil {
		return fmt.Errorf("set the listener's port: %w", err)
	}
	return nil
}

// listenerPort reads the port of a CallbackProxy.
func listenerPort(object *unstructured.Unstructured) (int, error) {
	value, found, err := unstructured.NestedFieldNoCopy(object.Object, "spec", "listener", "port")
	if err != nil || !found {
		return 0, errors.Join(errors.New("read the listener's port: the sample has none"), err)
	}
	port, ok := value.(float64) // as yaml.Unmarshal leaves numbers
	if !ok {
		return 0, errors.New("read the listener's port: it is no number")
	}
	return int(port), nil
}

// setSchedule moves a route's times, whole seconds in UTC. Those in the
// samples are constants, and will have passed for whoever comes later.
func setSchedule(object *unstructured.Unstructured, deprecation, sunset time.Time) error {
	for field, at := range map[string]time.Time{"deprecationTime": deprecation, "sunsetTime": sunset} {
		if err := unstructured.SetNestedField(object.Object, at.UTC().Format(time.RFC3339), "spec", field); err != nil {
			return fmt.Errorf("set %s: %w", field, err)
		}
	}
	return nil
}

// asPartner turns the sample's route into another one, on a callback path of
// its own.
func asPartner(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	partner := object.DeepCopy()
	partner.SetName(partnerRoute)
	if err := unstructured.SetNestedField(partner.Object, partnerPath, "spec", "callback", "path"); err != nil {
		return nil, fmt.Errorf("set the callback path: %w", err)
	}
	return partner, nil
}
