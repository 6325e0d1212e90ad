// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dockerlint

import (
	"debug/buildinfo"
	"debug/elf"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	. "github.com/onsi/gomega"
)

// testVersion is looked for in the binaries: -X says nothing when it misses.
const testVersion = "v0.0.0-built-by-dockerlint"

func TestImages_AreOneStaticBinaryOnScratchAsNobody(t *testing.T) {
	dockerfile := parse(t, readDockerfile(t))
	for _, target := range []string{"manager", "proxy"} {
		t.Run(target, func(t *testing.T) {
			g := NewWithT(t)
			stage, exists := dockerfile.stages[target]
			g.Expect(exists).To(BeTrue(), "the Dockerfile has no target %s", target)
			g.Expect(stage.BaseName).To(Equal("scratch"))

			user, _ := last[*instructions.UserCommand](stage.Commands)
			g.Expect(user).NotTo(BeNil(), "no USER")
			g.Expect(user.User).To(Equal("65532:65532"))

			entrypoint, _ := last[*instructions.EntrypointCommand](stage.Commands)
			g.Expect(entrypoint).NotTo(BeNil(), "no ENTRYPOINT")
			g.Expect(entrypoint.PrependShell).To(BeFalse(), "scratch has no shell")
			g.Expect(entrypoint.CmdLine).To(Equal([]string{"/" + target}))

			_, _, err := origin(stage, "/etc/ssl/certs/ca-certificates.crt")
			g.Expect(err).NotTo(HaveOccurred())

			builder, source, err := origin(stage, entrypoint.CmdLine[0])
			g.Expect(err).NotTo(HaveOccurred())
			binary := build(t, dockerfile, builder, source)
			expectStatic(g, binary)
			expectReproducible(g, binary)
		})
	}
}

func TestDockerfile_BuildsWithAGoThatIsNewEnough(t *testing.T) {
	g := NewWithT(t)
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	g.Expect(err).NotTo(HaveOccurred())
	floor := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(gomod)
	g.Expect(floor).To(HaveLen(2))

	image := parse(t, readDockerfile(t)).args["GO_VERSION"]

	g.Expect(image).To(MatchRegexp(`^\d+\.\d+\.\d+$`), "the image is pinned by a full version")
	g.Expect(version.Compare("go"+image, "go"+string(floor[1]))).To(BeNumerically(">=", 0))
}

// build runs the go build commands of a stage in a copy of what the stage
// copies, word for word, and returns the file that source names.
func build(t *testing.T, dockerfile file, stage, source string) string {
	t.Helper()
	dir, workdir := t.TempDir(), "/"
	env := append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "VERSION="+testVersion)
	given := map[string]bool{"TARGETOS": true, "TARGETARCH": true, "VERSION": true}
	builds := 0
	for _, command := range dockerfile.chain(stage) {
		switch command := command.(type) {
		case *instructions.WorkdirCommand:
			workdir = command.Path
		case *instructions.EnvCommand:
			for _, pair := range command.Env {
				env = append(env, pair.Key+"="+expand(t, pair.Value, env))
			}
		case *instructions.ArgCommand:
			for _, arg := range command.Args {
				if !given[arg.Key] {
					env = append(env, arg.Key+"="+expand(t, arg.ValueString(), env))
				}
			}
		case *instructions.CopyCommand:
			copyFromContext(t, command, dir)
		case *instructions.RunCommand:
			if line := strings.Join(command.CmdLine, " "); strings.Contains(line, "go build") {
				runShell(t, dir, env, line)
				builds++
			}
		}
	}
	if builds != 1 {
		t.Fatalf("stage %s has %d go build commands, not 1", stage, builds)
	}
	relative, inWorkdir := strings.CutPrefix(source, workdir+"/")
	if !inWorkdir {
		t.Fatalf("%s is not below the working directory %s", source, workdir)
	}
	return filepath.Join(dir, relative)
}

// expand removes the quotes of a value and fills in its variables.
func expand(t *testing.T, value string, env []string) string {
	t.Helper()
	word, _, err := shell.NewLex('\\').ProcessWord(value, shell.EnvsFromSlice(env))
	if err != nil {
		t.Fatalf("expand %s: %v", value, err)
	}
	return word
}

func runShell(t *testing.T, dir string, env []string, line string) {
	t.Helper()
	t.Logf("RUN %s", line)
	command := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
	command.Dir, command.Env = dir, env
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("run it: %v\n%s", err, output)
	}
}

func expectStatic(g *WithT, binary string) {
	program, err := elf.Open(binary)
	g.Expect(err).NotTo(HaveOccurred())
	defer program.Close()
	for _, segment := range program.Progs {
		g.Expect(segment.Type).NotTo(BeElementOf(elf.PT_INTERP, elf.PT_DYNAMIC), "needs a dynamic linker")
	}
	libraries, err := program.ImportedLibraries()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(libraries).To(BeEmpty())
}

// expectReproducible checks what makes two builds of one commit equal, and
// that the version got in.
func expectReproducible(g *WithT, binary string) {
	info, err := buildinfo.ReadFile(binary)
	g.Expect(err).NotTo(HaveOccurred())
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	g.Expect(settings).To(HaveKeyWithValue("CGO_ENABLED", "0"))
	g.Expect(settings).To(HaveKeyWithValue("-trimpath", "true"))

	content, err := os.ReadFile(binary)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(strings.Contains(string(content), testVersion)).To(BeTrue(),
		"main.version is not set: is there a var version string in its main package?")
}
