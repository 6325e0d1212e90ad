// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dockerlint

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// root is the root of the tree, which is also the context of the build.
const root = "../.."

// file is a parsed Dockerfile.
type file struct {
	args   map[string]string // before the first FROM, with their defaults
	stages map[string]instructions.Stage
}

func readDockerfile(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatalf("read Dockerfile: %v", err)
	}
	return content
}

func parse(t *testing.T, dockerfile []byte) file {
	t.Helper()
	ast, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		t.Fatalf("parse Dockerfile: %v", err)
	}
	stages, args, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		t.Fatalf("parse instructions: %v", err)
	}
	parsed := file{args: map[string]string{}, stages: map[string]instructions.Stage{}}
	for _, command := range args {
		for _, arg := range command.Args {
			parsed.args[arg.Key] = arg.ValueString()
		}
	}
	for _, stage := range stages {
		parsed.stages[stage.Name] = stage
	}
	return parsed
}

// chain returns the commands of a stage and of the stages that it is built
// from, in the order in which they run.
func (f file) chain(name string) []instructions.Command {
	stage, ours := f.stages[name]
	if !ours {
		return nil
	}
	return append(f.chain(stage.BaseName), stage.Commands...)
}

// last returns the last command of type T: the one that counts.
func last[T instructions.Command](commands []instructions.Command) (found T, ok bool) {
	for _, command := range commands {
		if typed, is := command.(T); is {
			found, ok = typed, true
		}
	}
	return found, ok
}

// origin returns the stage and the path there of a file that a stage copies to
// dest.
func origin(stage instructions.Stage, dest string) (builder, source string, err error) {
	for _, command := range stage.Commands {
		copied, is := command.(*instructions.CopyCommand)
		if is && path.Clean(copied.DestPath) == dest && copied.From != "" && len(copied.SourcePaths) == 1 {
			return copied.From, copied.SourcePaths[0], nil
		}
	}
	return "", "", fmt.Errorf("stage %s copies nothing to %s", stage.Name, dest)
}
