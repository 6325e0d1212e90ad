// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sbom

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	. "github.com/onsi/gomega"
)

// What is listed is exactly what the linker put in, by name and version, and
// the list is the same each time.
func TestT18_SBOMNamesEveryModule(t *testing.T) {
	g := NewWithT(t)
	root, err := filepath.Abs("../..")
	g.Expect(err).NotTo(HaveOccurred())
	binary := filepath.Join(t.TempDir(), "sbom-test-proxy")
	run(g, root, "go", "build", "-trimpath", "-o", binary, "./cmd/proxy")
	info, err := buildinfo.ReadFile(binary)
	g.Expect(err).NotTo(HaveOccurred())

	first := list(g, root, binary)
	var wanted, listed []string
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		wanted = append(wanted, module.Path+"@"+module.Version)
	}
	wanted = append(wanted, "std@"+runtime.Version())
	bom := new(cdx.BOM)
	g.Expect(cdx.NewBOMDecoder(strings.NewReader(first), cdx.BOMFileFormatJSON).Decode(bom)).To(Succeed())
	g.Expect(bom.Metadata.Component.Version).To(Equal("v1.2.3"))
	for _, component := range *bom.Components {
		listed = append(listed, component.Name+"@"+component.Version)
	}
	slices.Sort(wanted)
	slices.Sort(listed)
	g.Expect(len(wanted)).To(BeNumerically(">", 20))
	g.Expect(listed).To(Equal(wanted))

	g.Expect(list(g, root, binary)).To(Equal(first))
}

// list runs hack/sbom.sh and takes away what it wrote.
func list(g Gomega, root, binary string) string {
	file := strings.TrimSpace(run(g, root, "hack/sbom.sh", "v1.2.3", binary))
	content, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.Remove(file)).To(Succeed())
	return string(content)
}

func run(g Gomega, dir, name string, args ...string) string {
	command := exec.Command(name, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	command.Stderr = os.Stderr
	out, err := command.Output()
	g.Expect(err).NotTo(HaveOccurred(), name)
	return string(out)
}
