// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dockerlint

import (
	"context"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	. "github.com/onsi/gomega"
	"github.com/opencontainers/go-digest"
)

// noRegistry stands in for a registry: every base image exists, and its config
// says nothing but its platform. Linting must not depend on a network.
type noRegistry struct{}

func (noRegistry) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	platform := opt.ImageOpt.Platform
	return ref, "", []byte(`{"os":"` + platform.OS + `","architecture":"` + platform.Architecture +
		`","config":{"Env":["PATH=/usr/local/go/bin:/usr/bin:/bin"]}}`), nil
}

// check does what docker build --check does and returns the names of the
// rules that the file breaks, and the error that would end a build.
func check(t *testing.T, dockerfile []byte) (rules []string, buildError string) {
	t.Helper()
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", dockerfile)
	source.Definition = &llb.Definition{}
	results, err := dockerfile2llb.DockerfileLint(t.Context(), dockerfile, dockerfile2llb.ConvertOpt{
		MetaResolver: noRegistry{},
		SourceMap:    source,
	})
	if err != nil {
		t.Fatalf("lint: %v", err)
	}
	for _, warning := range results.Warnings {
		t.Logf("%s: %s", warning.RuleName, warning.Detail)
		rules = append(rules, warning.RuleName)
	}
	return rules, errorText(results.Error)
}

func errorText(err *lint.BuildError) string {
	if err == nil {
		return ""
	}
	return err.Message
}

func TestDockerfile_BreaksNoRuleOfBuildKit(t *testing.T) {
	g := NewWithT(t)

	rules, buildError := check(t, readDockerfile(t))

	g.Expect(rules).To(BeEmpty())
	g.Expect(buildError).To(BeEmpty())
}

// The linter is only worth something when it speaks up.
func TestCheck_FindsBrokenFiles(t *testing.T) {
	cases := map[string]string{
		"FromAsCasing":          "FROM golang:1 as build\n",
		"UndefinedVar":          "FROM golang:1\nARG TARGETARCH\nCOPY $TARGETARC /\n",
		"UndefinedArgInFrom":    "FROM golang:${VERSIO}\n",
		"SecretsUsedInArgOrEnv": "FROM golang:1\nENV API_TOKEN=x\n",
		"WorkdirRelativePath":   "FROM golang:1\nWORKDIR src\n",
		"JSONArgsRecommended":   "FROM golang:1\nENTRYPOINT /manager\n",
		"DuplicateStageName":    "FROM golang:1 AS a\nFROM golang:1 AS a\n",
		"LegacyKeyValueFormat":  "FROM golang:1\nENV a b\n",
	}
	for rule, dockerfile := range cases {
		t.Run(rule, func(t *testing.T) {
			rules, _ := check(t, []byte(dockerfile))
			NewWithT(t).Expect(rules).To(ContainElement(rule))
		})
	}
}

func TestCheck_ReportsWhatWouldEndABuild(t *testing.T) {
	_, buildError := check(t, []byte("FROM scratch\nCOPY --from=nobody a b\nRUNN x\n"))
	NewWithT(t).Expect(buildError).To(ContainSubstring("RUNN"))
}
