// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Every YAML block of docs/install.md is a set of values that the chart accepts,
// or the dependency of a parent chart.
func TestInstallPage_ExamplesWork(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "install.md"))
	g.Expect(err).NotTo(HaveOccurred())
	values, dependencies := 0, 0
	for _, block := range fenced.FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(block[1], "dependencies:") {
			dependencies++
			continue
		}
		values++
		g.Expect(render(t, block[1], rendering.CallbackProxy)).NotTo(BeEmpty())
	}
	g.Expect(values).To(Equal(2))
	g.Expect(dependencies).To(Equal(1))
}
