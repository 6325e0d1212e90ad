// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	. "github.com/onsi/gomega"
)

// program writes a file that stands for a binary, with times that differ from
// call to call.
func program(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "proxy")
	NewWithT(t).Expect(os.WriteFile(name, []byte(content), 0o600)).To(Succeed())
	return name
}

// archive runs the command and returns what it wrote.
func archive(t *testing.T, args ...string) []byte {
	t.Helper()
	output := filepath.Join(t.TempDir(), "image.tar")
	g := NewWithT(t)
	g.Expect(run(append([]string{"--output", output}, args...), io.Discard)).To(Succeed())
	content, err := os.ReadFile(output)
	g.Expect(err).NotTo(HaveOccurred())
	return content
}

// unpack returns the only image of an archive and what its index says of it.
func unpack(t *testing.T, content []byte) (v1.Image, v1.Descriptor) {
	t.Helper()
	g := NewWithT(t)
	dir := t.TempDir()
	reader := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		g.Expect(err).NotTo(HaveOccurred())
		name := filepath.Join(dir, header.Name)
		if header.Typeflag == tar.TypeDir {
			g.Expect(os.MkdirAll(name, 0o700)).To(Succeed())
			continue
		}
		file, err := io.ReadAll(reader)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.WriteFile(name, file, 0o600)).To(Succeed())
	}
	index, err := layout.ImageIndexFromPath(dir)
	g.Expect(err).NotTo(HaveOccurred())
	manifest, err := index.IndexManifest()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifest.Manifests).To(HaveLen(1))
	image, err := index.Image(manifest.Manifests[0].Digest)
	g.Expect(err).NotTo(HaveOccurred())
	return image, manifest.Manifests[0]
}

// listing returns the files of an image with their modes.
func listing(t *testing.T, image v1.Image) map[string]int64 {
	t.Helper()
	g := NewWithT(t)
	layers, err := image.Layers()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(layers).To(HaveLen(1))
	content, err := layers[0].Uncompressed()
	g.Expect(err).NotTo(HaveOccurred())
	found := map[string]int64{}
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		g.Expect(err).NotTo(HaveOccurred())
		found[header.Name] = header.Mode
	}
}

func TestRun_TheSameBinaryGivesTheSameArchive(t *testing.T) {
	g := NewWithT(t)
	first := archive(t, "--name", "localhost/proxy:dev", "--label", "b=2", "--label", "a=1", program(t, "one"))
	second := archive(t, "--name", "localhost/proxy:dev", "--label", "a=1", "--label", "b=2", program(t, "one"))
	other := archive(t, "--name", "localhost/proxy:dev", "--label", "a=1", "--label", "b=2", program(t, "two"))
	g.Expect(bytes.Equal(first, second)).To(BeTrue(), "equal archives")
	g.Expect(bytes.Equal(first, other)).To(BeFalse(), "another binary")
}

func TestRun_TheImageRunsAsTheDockerfileSays(t *testing.T) {
	g := NewWithT(t)
	image, entry := unpack(t, archive(t, "--name", "localhost/callback-proxy:dev", "--label", "v=1", program(t, "one")))
	g.Expect(entry.Annotations).To(HaveKeyWithValue("io.containerd.image.name", "localhost/callback-proxy:dev"))
	g.Expect(entry.Annotations).To(HaveKeyWithValue("org.opencontainers.image.ref.name", "dev"))
	config, err := image.ConfigFile()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(config.Config.Entrypoint).To(Equal([]string{"/proxy"}))
	g.Expect(config.Config.User).To(Equal("65532:65532"))
	g.Expect(config.Config.Labels).To(Equal(map[string]string{"v": "1"}))
	g.Expect(config.Created.IsZero()).To(BeTrue())
	raw, err := image.RawManifest()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(json.Valid(raw)).To(BeTrue())
	g.Expect(string(raw)).NotTo(ContainSubstring("docker"), "media types are those of OCI")
}

func TestBuild_AddsTheCertificatesThatAreThere(t *testing.T) {
	g := NewWithT(t)
	s := spec{Name: "localhost/proxy:dev", Binary: program(t, "one"), Certificates: program(t, "trusted")}
	with, err := build(s)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(listing(t, with)).To(Equal(map[string]int64{
		"proxy": 0o755, "etc/": 0o755, "etc/ssl/": 0o755, "etc/ssl/certs/": 0o755,
		"etc/ssl/certs/ca-certificates.crt": 0o644,
	}))
	s.Certificates = filepath.Join(t.TempDir(), "nowhere")
	without, err := build(s)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(listing(t, without)).To(Equal(map[string]int64{"proxy": 0o755}))
}

func TestRun_SaysWhatIsMissing(t *testing.T) {
	output := filepath.Join(t.TempDir(), "image.tar")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no binary":     {[]string{"--output", output, "--name", "localhost/a:b"}, "one binary"},
		"no output":     {[]string{"--name", "localhost/a:b", "x"}, "--output"},
		"no host":       {[]string{"--output", output, "--name", "a:b", "x"}, "HOST/NAME:TAG"},
		"no tag":        {[]string{"--output", output, "--name", "localhost/a", "x"}, "HOST/NAME:TAG"},
		"no such file":  {[]string{"--output", output, "--name", "localhost/a:b", "nowhere"}, "read the binary"},
		"no label text": {[]string{"--label", "x"}, "NAME=VALUE"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(run(test.args, io.Discard)).To(MatchError(ContainSubstring(test.want)))
			left, err := filepath.Glob(strings.TrimSuffix(output, ".tar") + "*")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(left).To(BeEmpty(), "no half archive")
		})
	}
}
