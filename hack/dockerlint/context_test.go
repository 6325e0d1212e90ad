// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dockerlint

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// copyFromContext carries out a COPY from the build context, which is the tree
// without what .dockerignore names, so that a file the image would lack is
// lacking here too.
func copyFromContext(t *testing.T, command *instructions.CopyCommand, workdir string) {
	t.Helper()
	if command.From != "" {
		return
	}
	ignored := ignoredFiles(t)
	for _, source := range command.SourcePaths {
		copied := 0
		err := filepath.WalkDir(filepath.Join(root, source), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			inContext, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			if ignore, err := ignored.MatchesOrParentMatches(inContext); err != nil || ignore {
				return err
			}
			// COPY puts a directory's content, but a file itself, into the destination.
			inSource, err := filepath.Rel(source, inContext)
			if err != nil {
				return err
			}
			if inSource == "." {
				inSource = filepath.Base(source)
			}
			copied++
			return copyFile(name, filepath.Join(workdir, command.DestPath, inSource))
		})
		if err != nil {
			t.Fatalf("COPY %s: %v", source, err)
		}
		if copied == 0 {
			t.Fatalf("COPY %s: nothing to copy, does .dockerignore let it in?", source)
		}
	}
}

func ignoredFiles(t *testing.T) *patternmatcher.PatternMatcher {
	t.Helper()
	list, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatalf("open .dockerignore: %v", err)
	}
	defer list.Close()
	patterns, err := ignorefile.ReadAll(list)
	if err != nil {
		t.Fatalf("read .dockerignore: %v", err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatalf("parse .dockerignore: %v", err)
	}
	return matcher
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}
