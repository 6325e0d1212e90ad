// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// chartDir is the chart, from the root of the repository.
const chartDir = "charts/callback-operator"

// sources are the files that the chart has copies of, as Helm reads nothing
// outside of a chart: patterns from config/, and where they go in files/.
var sources = map[string]string{
	"crd/bases/*.yaml":               "crds",
	"injection/*.yaml":               "injection",
	"monitoring/prometheusrule.yaml": "monitoring",
	"monitoring/dashboard.json":      "monitoring",
}

// copies returns them by their path in the repository.
func copies(root string) (map[string]string, error) {
	files := map[string]string{}
	for pattern, folder := range sources {
		paths, err := filepath.Glob(filepath.Join(root, "config", pattern))
		if err != nil || len(paths) == 0 {
			return nil, fmt.Errorf("find config/%s: nothing there (%w)", pattern, err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("read source: %w", err)
			}
			files[filepath.Join(chartDir, "files", folder, filepath.Base(path))] = string(content)
		}
	}
	return files, nil
}
