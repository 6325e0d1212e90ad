// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/chart/rendering"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// What a reader copies from docs/install.md works: values are rendered, and the
// overlay changes both images wherever they stand.
func TestInstallPage_ExamplesWork(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "install.md"))
	g.Expect(err).NotTo(HaveOccurred())
	values, overlays := 0, 0
	for _, block := range fenced.FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(block[1], "resources:") {
			overlays++
			checkOverlay(t, block[1])
			continue
		}
		values++
		g.Expect(render(t, block[1], rendering.CallbackProxy)).NotTo(BeEmpty())
	}
	g.Expect(values).To(Equal(2))
	g.Expect(overlays).To(Equal(1))
}

func checkOverlay(t *testing.T, kustomization string) {
	t.Helper()
	g := NewWithT(t)
	assets, err := fixture.Assets(t.Context(), nil)
	g.Expect(err).NotTo(HaveOccurred())
	dir := t.TempDir()
	g.Expect(os.CopyFS(dir, os.DirFS(filepath.Join(root, "config")))).To(Succeed())
	g.Expect(os.Mkdir(filepath.Join(dir, "mine"), 0o755)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "mine", "kustomization.yaml"), []byte(kustomization), 0o600)).To(Succeed())
	built, err := exec.CommandContext(t.Context(), filepath.Join(assets, "kubectl"), "kustomize", filepath.Join(dir, "mine")).Output()
	g.Expect(err).NotTo(HaveOccurred())
	const registry = "registry.example.com/identity/"
	for _, object := range documents(t, string(built)) {
		text := asYAML(t, object.Object)
		switch object.GetKind() {
		case "Deployment":
			g.Expect(text).To(ContainSubstring("image: " + registry + "callback-manager:"))
			g.Expect(strings.LastIndex(text, "--proxy-image="+registry)).To(Equal(strings.LastIndex(text, "--proxy-image=")))
		case "MutatingAdmissionPolicy":
			g.Expect(text).To(MatchRegexp(`- expression: '''` + registry + `callback-proxy:0.1.0'''\s+name: image\n`))
		}
	}
}
