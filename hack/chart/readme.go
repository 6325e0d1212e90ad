// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// chartDir is the chart, relative to the root of the repository.
const chartDir = "charts/callback-operator"

// page is the README without its table.
//
//go:embed readme.tmpl
var page string

const placeholder = "<!-- values -->\n"

// readme returns the chart's README: the page with a table of all values.
func readme(root string) (map[string]string, error) {
	content, err := os.ReadFile(filepath.Join(root, chartDir, "values.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read values: %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("decode values: %w", err)
	}
	rows, err := describe("", document.Content[0])
	if err != nil {
		return nil, err
	}
	table := "| value | default | |\n|---|---|---|\n" + strings.Join(rows, "")
	return map[string]string{
		filepath.Join(chartDir, "README.md"): strings.Replace(page, placeholder, table, 1),
	}, nil
}

// describe returns a row for each value of a mapping: what is written in flow
// style ({}, [] or on one line) is one value, what is written below a key are
// values of their own.
func describe(prefix string, mapping *yaml.Node) ([]string, error) {
	var rows []string
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name, comment := prefix+key.Value, text(key.HeadComment)
		if value.Kind == yaml.MappingNode && value.Style&yaml.FlowStyle == 0 {
			if comment != "" {
				rows = append(rows, fmt.Sprintf("| **`%s`** | | %s |\n", name, comment))
			}
			below, err := describe(name+".", value)
			if err != nil {
				return nil, err
			}
			rows = append(rows, below...)
			continue
		}
		if comment == "" {
			return nil, fmt.Errorf("describe values: %s has no comment above it", name)
		}
		encoded, err := yaml.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", name, err)
		}
		_, bare, _ := strings.Cut("\n"+stripComments(string(encoded)), "\n")
		rows = append(rows, fmt.Sprintf("| `%s` | `%s` | %s |\n", name, strings.TrimSpace(bare), comment))
	}
	return rows, nil
}

func stripComments(encoded string) string {
	var lines []string
	for line := range strings.Lines(encoded) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// text is a comment as one line of Markdown: what is set apart by an empty line
// belongs to nothing.
func text(comment string) string {
	paragraphs := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	}
	joined := strings.Join(words, " ")
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(joined)
}
