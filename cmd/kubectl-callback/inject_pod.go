// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// pod is a Pod or a pod template inside an object that was read: what is
// changed in it is changed there, what is not known stays.
type pod map[string]any

// templates are where the kinds that make pods keep their template.
var templates = map[string][]string{
	"v1/Pod":                   {},
	"v1/PodTemplate":           {"template"},
	"v1/ReplicationController": {"spec", "template"},
	"apps/v1/Deployment":       {"spec", "template"},
	"apps/v1/StatefulSet":      {"spec", "template"},
	"apps/v1/DaemonSet":        {"spec", "template"},
	"apps/v1/ReplicaSet":       {"spec", "template"},
	"batch/v1/Job":             {"spec", "template"},
	"batch/v1/CronJob":         {"spec", "jobTemplate", "spec", "template"},
}

// podOf returns the pod of an object, nil when it makes none.
func podOf(object map[string]any) pod {
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	path, known := templates[version+"/"+kind]
	if !known {
		return nil
	}
	found := object
	for _, field := range path {
		next, is := found[field].(map[string]any)
		if !is {
			return nil
		}
		found = next
	}
	return found
}

// describe names an object for its author.
func describe(object map[string]any) string {
	u := unstructured.Unstructured{Object: object}
	name := u.GetName()
	if name == "" {
		name = u.GetGenerateName()
	}
	if u.GetNamespace() != "" {
		name = u.GetNamespace() + "/" + name
	}
	return u.GetKind() + " " + name
}

// proxyName returns the name of the CallbackProxy whose sidecar the pod gets;
// empty for none. all is the one for all pods, if there is one.
func (p pod) proxyName(all string) (string, error) {
	label, found, err := unstructured.NestedString(p, "metadata", "labels", callbackv1alpha1.InjectLabel)
	switch {
	case err != nil:
		return "", errors.New("the labels of the pod are not strings")
	case !found:
		return all, nil
	case label == "":
		return "", fmt.Errorf("the label %s is empty: let it name a CallbackProxy", callbackv1alpha1.InjectLabel)
	case all != "" && label != all:
		return "", fmt.Errorf("the label %s names %q, --proxy names %q: change one of them", callbackv1alpha1.InjectLabel, label, all)
	}
	return label, nil
}

// inject puts the sidecar first among the init containers, replacing the one
// that is there, with its volumes and labels.
func (p pod) inject(proxy *callbackv1alpha1.CallbackProxy, image string) error {
	spec, is := p["spec"].(map[string]any)
	if !is {
		return errors.New("the pod has no spec")
	}
	if err := checkPorts(spec, workload.Port(proxy)); err != nil {
		return err
	}
	if err := p.checkProtocol(spec, proxy.Spec.Sidecar.AppPort); err != nil {
		return err
	}
	container := workload.Container(proxy, image, user(spec))
	sidecar, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&container)
	if err != nil {
		return fmt.Errorf("write the sidecar: %w", err)
	}
	others := slices.DeleteFunc(list(spec["initContainers"]), isNamed(workload.ContainerName))
	spec["initContainers"] = append([]any{sidecar}, others...)

	volumes := list(spec["volumes"])
	for _, v := range workload.Volumes() {
		volume, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v)
		if err != nil {
			return fmt.Errorf("write the volumes: %w", err)
		}
		if i := slices.IndexFunc(volumes, isNamed(v.Name)); i >= 0 {
			volumes[i] = volume
		} else {
			volumes = append(volumes, volume)
		}
	}
	spec["volumes"] = volumes
	for _, label := range []string{callbackv1alpha1.InjectLabel, callbackv1alpha1.ProxyLabel} {
		if err := unstructured.SetNestedField(p, proxy.Name, "metadata", "labels", label); err != nil {
			return fmt.Errorf("set the label %s: %w", label, err)
		}
	}
	return nil
}

// user returns the user that the pod's security context gives its containers; nil
// for none.
func user(spec map[string]any) *int64 {
	uid, found, err := unstructured.NestedInt64(spec, "securityContext", "runAsUser")
	if err != nil || !found {
		return nil
	}
	return &uid
}

// checkPorts refuses what could not run beside the sidecar: the containers of a
// pod share its ports.
func checkPorts(spec map[string]any, listener int32) error {
	if slices.ContainsFunc(list(spec["containers"]), isNamed(workload.ContainerName)) {
		return fmt.Errorf("a container is named %s already: rename it", workload.ContainerName)
	}
	containers := append(list(spec["containers"]), slices.DeleteFunc(list(spec["initContainers"]), isNamed(workload.ContainerName))...)
	for _, c := range containers {
		container, _ := c.(map[string]any)
		for _, p := range list(container["ports"]) {
			port, _ := p.(map[string]any)
			switch number, _, _ := unstructured.NestedInt64(port, "containerPort"); number {
			case int64(listener):
				return fmt.Errorf("container %v uses port %d, on which the sidecar accepts callbacks: "+
					"give one of them another port (spec.listener.port of the CallbackProxy)", container["name"], number)
			case workload.AdminPort:
				return fmt.Errorf("container %v uses port %d, which is the sidecar's admin port: give it another one", container["name"], number)
			}
		}
	}
	return nil
}

// http2Protocols are the values of the annotation that stand for HTTP/2, the same as
// those of Service's appProtocol.
var http2Protocols = []string{"kubernetes.io/h2c", "h2c", "http2", "grpc"}

// checkProtocol refuses an application that speaks HTTP/2 behind the sidecar, as the
// ValidatingAdmissionPolicy does: the pod's annotation says so, or without one the
// name of the port.
func (p pod) checkProtocol(spec map[string]any, appPort int32) error {
	const remedy = "let the application serve the callbacks on a port of its own with HTTP/1.1 (spec.sidecar.appPort)"
	protocol, found, err := unstructured.NestedString(p, "metadata", "annotations", callbackv1alpha1.AppProtocolAnnotation)
	switch {
	case err != nil:
		return errors.New("the annotations of the pod are not strings")
	case slices.Contains(http2Protocols, protocol):
		return fmt.Errorf("the sidecar speaks HTTP/1.1, and the annotation %s states that the application speaks %s: %s",
			callbackv1alpha1.AppProtocolAnnotation, protocol, remedy)
	case found && protocol != "":
		return nil
	}
	for _, c := range append(list(spec["containers"]), list(spec["initContainers"])...) {
		container, _ := c.(map[string]any)
		for _, listed := range list(container["ports"]) {
			port, _ := listed.(map[string]any)
			number, _, _ := unstructured.NestedInt64(port, "containerPort")
			if name, _ := port["name"].(string); number == int64(appPort) && isHTTP2Name(name) {
				return fmt.Errorf("the sidecar speaks HTTP/1.1, and port %d behind it is named %s, which stands for HTTP/2: %s, "+
					"or set the annotation %s to http if it speaks HTTP/1.1 there", number, name, remedy, callbackv1alpha1.AppProtocolAnnotation)
			}
		}
	}
	return nil
}

// isHTTP2Name reports whether a port's name begins with a protocol over HTTP/2.
// gRPC-Web also runs over HTTP/1.1.
func isHTTP2Name(name string) bool {
	isHTTP2 := strings.HasPrefix(name, "grpc") || strings.HasPrefix(name, "h2c") || strings.HasPrefix(name, "http2")
	return isHTTP2 && !strings.HasPrefix(name, "grpc-web")
}

// list returns a copy of a list, empty when it is none.
func list(value any) []any {
	items, _ := value.([]any)
	return slices.Clone(items)
}

// isNamed matches the containers or volumes of that name.
func isNamed(name string) func(any) bool {
	return func(item any) bool {
		named, is := item.(map[string]any)
		return is && named["name"] == name
	}
}
