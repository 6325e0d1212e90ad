// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command generate writes what follows from other files of this repository:
// the chart's copies of CRDs, monitoring and policies, its README from the
// comments of values.yaml, and the kustomize bases from the rendered chart.
package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	if err := run("../..", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes all files below the root of the repository and says which of them
// changed. The copies come first: what is rendered has them in it.
func run(root string, out io.Writer) error {
	for _, make := range []func(string) (map[string]string, error){copies, readme, manifests} {
		files, err := make(root)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if err := write(filepath.Join(root, name), files[name], out); err != nil {
				return err
			}
		}
	}
	return nil
}

func write(path, content string, out io.Writer) error {
	if present, err := os.ReadFile(path); err == nil && string(present) == content {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	_, err := fmt.Fprintln(out, "wrote", path)
	return err
}
