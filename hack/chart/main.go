// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chart writes files that follow from the Helm chart: its README, from the comments of values.yaml, and the manifests
// for an installation without Helm, from the rendered templates.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

const usage = `usage:
  chart readme                                                    write the chart's README
  chart installer [-registry R] [-tag T] [-values FILE] [-output DIR]   write install.yaml and injection.yaml`

func main() {
	// Helm reports each link of the chart's files.
	slog.SetLogLoggerLevel(slog.LevelWarn)
	if err := run("../..", os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// run executes one command. Paths are relative to root, the root of the repository.
func run(root string, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	var files map[string]string
	var err error
	switch args[0] {
	case "readme":
		files, err = readme(root)
	case "installer":
		files, err = runInstaller(root, args[1:])
	default:
		return errors.New(usage)
	}
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(resolve(root, name), files[name]); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, name); err != nil {
			return fmt.Errorf("print file name: %w", err)
		}
	}
	return nil
}

func runInstaller(root string, args []string) (map[string]string, error) {
	var options installerOptions
	flags := flag.NewFlagSet("installer", flag.ContinueOnError)
	flags.StringVar(&options.registry, "registry", "", "registry and path of both images (image.registry)")
	flags.StringVar(&options.tag, "tag", "", "tag of both images; empty for the chart's appVersion")
	flags.StringVar(&options.valuesFile, "values", "", "file with values of the chart, relative to the repository")
	output := flags.String("output", "dist", "directory, relative to the repository")
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("parse flags: %w", err)
	}
	manifests, err := renderInstaller(root, options)
	if err != nil {
		return nil, err
	}
	files := make(map[string]string, len(manifests))
	for name, content := range manifests {
		files[filepath.Join(*output, name)] = content
	}
	return files, nil
}

// resolve returns a path of the repository; an absolute one stays.
func resolve(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

// writeFile leaves a file with the same content untouched, so that its time of change stays.
func writeFile(path, content string) error {
	if present, err := os.ReadFile(path); err == nil && string(present) == content {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}
