// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rendering turns the chart into objects, as Helm does before it talks
// to an API server. In: the chart's folder, values, and what the API server
// would say that it has; out: objects in Helm's order, and the notes. It reads
// files and nothing else.
package rendering

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// Kinds that the API server may have or not, as in .Capabilities.APIVersions.
const (
	CallbackProxy  = "callbackproxy.io/v1alpha1/CallbackProxy"
	MutatingPolicy = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
	ServiceMonitor = "monitoring.coreos.com/v1/ServiceMonitor"
	PodMonitor     = "monitoring.coreos.com/v1/PodMonitor"
	PrometheusRule = "monitoring.coreos.com/v1/PrometheusRule"
)

// Monitoring is what an API server with the Prometheus operator has.
func Monitoring() []string { return []string{ServiceMonitor, PodMonitor, PrometheusRule} }

// Release is what the chart is rendered for.
type Release struct {
	Name      string
	Namespace string
	// Values as one would give them with --values; nil for none.
	Values map[string]any
	// APIVersions that the API server has beside Kubernetes' own.
	APIVersions []string
}

// Object is one object, as text and decoded.
type Object struct {
	// Template is the path of its template in the chart.
	Template string
	YAML     string
	*unstructured.Unstructured
}

// Load reads the chart in the root of the repository.
func Load(root string) (*chart.Chart, error) {
	loaded, err := loader.LoadDir(path.Join(root, "charts", "callback-operator"))
	if err != nil {
		return nil, fmt.Errorf("load the chart: %w", err)
	}
	return loaded, nil
}

// Render returns the objects by the path of their templates and in the order
// in which those have them, and the notes. Errors are the schema's about the
// values, or those of templates.
func Render(c *chart.Chart, r Release) (objects []Object, notes string, err error) {
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.APIVersions = append(capabilities.APIVersions, r.APIVersions...)
	options := common.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}
	values, err := util.ToRenderValues(c, r.Values, options, capabilities)
	if err != nil {
		return nil, "", fmt.Errorf("check the values: %w", err)
	}
	files, err := engine.Render(c, values)
	if err != nil {
		return nil, "", fmt.Errorf("render the chart: %w", err)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		switch {
		case strings.HasSuffix(file, "NOTES.txt"):
			notes = files[file]
		case strings.HasSuffix(file, ".yaml"):
			decoded, err := split(file, files[file])
			if err != nil {
				return nil, "", err
			}
			objects = append(objects, decoded...)
		}
	}
	return objects, notes, nil
}

// split decodes each document of a rendered template. Empty ones are left out.
func split(file, text string) ([]Object, error) {
	var objects []Object
	reader := yaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(text)))
	defer func() { _ = reader.Close() }()
	buffer := make([]byte, len(text)+1)
	for {
		n, err := reader.Read(buffer)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("split %s: %w", file, err)
		}
		document := bytes.TrimSpace(buffer[:n])
		content := map[string]any{}
		if err := sigsyaml.UnmarshalStrict(document, &content); err != nil {
			return nil, fmt.Errorf("decode %s: %w\n%s", file, err, document)
		}
		if len(content) == 0 {
			continue
		}
		objects = append(objects, Object{
			Template: file, YAML: string(document), Unstructured: &unstructured.Unstructured{Object: content},
		})
	}
}
