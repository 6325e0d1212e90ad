// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repository

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// exempt are the files that list the words.
var exempt = []string{"test/repository/prose_test.go", "test/repository/words_test.go"}

// Comments, messages, pages and manifests are plain English: they name the role
// of a person, a program does not talk, and a sentence starts with its subject.
func TestProse_IsPlainEnglish(t *testing.T) {
	byDirectory := map[string][]string{}
	total := 0
	for _, extension := range []string{".go", ".md", ".yaml", ".sh", ".tpl", ".txt"} {
		for _, file := range files(t, extension) {
			content := read(t, file)
			if slices.Contains(exempt, filepath.ToSlash(file)) || isGenerated(file, content) {
				continue
			}
			for _, found := range findWords(file, content) {
				directory := filepath.ToSlash(filepath.Dir(file))
				byDirectory[directory] = append(byDirectory[directory], found.String())
				total++
			}
		}
	}
	var report strings.Builder
	for _, directory := range slices.Sorted(maps.Keys(byDirectory)) {
		fmt.Fprintf(&report, "%d in %s\n  %s\n", len(byDirectory[directory]), directory, strings.Join(byDirectory[directory], "\n  "))
	}
	if total > 0 {
		t.Errorf("%d avoided words in prose:\n%s", total, report.String())
	}
}

// isGenerated reports whether a file follows from others, or is data.
func isGenerated(file, content string) bool {
	path := filepath.ToSlash(file)
	return generated.MatchString(content) || strings.HasPrefix(path, "config/crd/bases/") || strings.HasPrefix(path, "charts/callback-operator/files/") ||
		strings.HasPrefix(path, "dist/") || strings.Contains(path, "testdata/") || strings.Contains(path, "node_modules/")
}

func TestFindWords_ReadsCommentsMessagesAndPages(t *testing.T) {
	for name, c := range map[string]struct {
		file, content string
		want          []string
	}{
		"comment":         {"a.go", "package a\n\n// What it does\n// is for nobody.\nvar a = 1\n", []string{`a.go:4: "nobody"`, `a.go:3: "What"`}},
		"second sentence": {"a.go", "package a\n\n// Fine. That\n// is not.\n", []string{`a.go:3: "That"`}},
		"two comments":    {"a.go", "package a\n\n// Fine.\n\nvar a = 1\n\n// Of course.\n", []string{`a.go:7: "Of"`}},
		"message":         {"a.go", "package a\n\nvar a = \"somebody else\"\n", []string{`a.go:3: "somebody"`}},
		"code":            {"a.go", "package a\n\nvar nobody = \"What now\"\n", nil},
		"personified":     {"a.go", "package a\n\n// The proxy says so, and is told.\n", []string{`a.go:3: "proxy says"`, `a.go:3: "is told"`}},
		"page":            {"a.md", "# Where it is\n\nSome text.\nWhere it is.\n\n```\nnobody\n```\n`nobody`\n", []string{`a.md:4: "Where"`}},
		"list":            {"a.md", "- That is one\n- fine\n", []string{`a.md:1: "That"`}},
		"manifest":        {"a.yaml", "# Where it is\na: 1 # for ever\n", []string{`a.yaml:1: "Where"`, `a.yaml:2: "for ever"`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, found := range findWords(c.file, c.content) {
				got = append(got, found.String())
			}
			NewWithT(t).Expect(got).To(Equal(c.want))
		})
	}
}
