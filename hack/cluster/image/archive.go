// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// certificates is where Go looks for the authorities that it trusts.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// spec is what an image is made of.
type spec struct {
	// Name is the reference under which a node will know the image, whole:
	// localhost/callback-proxy:dev.
	Name string
	// Binary is a statically linked program of this platform. It becomes the
	// entrypoint, as /<its file name>.
	Binary string
	// Certificates is a file with the authorities to trust; it may be missing.
	Certificates string
	// User is uid:gid.
	User string
	// Labels are put into the image's configuration.
	Labels map[string]string
}

// entry is one file of an image.
type entry struct {
	name    string
	mode    int64
	content []byte
}

// build makes an image of one layer. Equal files give an equal digest: nothing
// in it tells a time or who built it.
func build(s spec) (v1.Image, error) {
	files, err := contents(s)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	if err := writeTar(&archive, files); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, fmt.Errorf("append the layer: %w", err)
	}
	return configure(image, s)
}

// configure says how to run the image: as the Dockerfile does.
func configure(image v1.Image, s spec) (v1.Image, error) {
	current, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	config := current.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint = []string{"/" + filepath.Base(s.Binary)}
	config.Config.User = s.User
	config.Config.Env = []string{"PATH=/"}
	config.Config.WorkingDir = "/"
	config.Config.Labels = s.Labels
	config.History = nil
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("write the image's configuration: %w", err)
	}
	return image, nil
}

func contents(s spec) ([]entry, error) {
	binary, err := os.ReadFile(s.Binary)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	files := []entry{{name: filepath.Base(s.Binary), mode: 0o755, content: binary}}
	trusted, err := os.ReadFile(s.Certificates)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return files, nil
	case err != nil:
		return nil, fmt.Errorf("read the certificates: %w", err)
	}
	for dir := range strings.SplitSeq("etc/ etc/ssl/ etc/ssl/certs/", " ") {
		files = append(files, entry{name: dir, mode: 0o755})
	}
	return append(files, entry{name: strings.TrimPrefix(certificates, "/"), mode: 0o644, content: trusted}), nil
}

// write puts an OCI archive with the image to out: a tar of an image layout
// whose index carries the name, as containerd and skopeo read it.
func write(image v1.Image, name string, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return fmt.Errorf("make a folder for the layout: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	index, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	err = index.AppendImage(image, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          name,
		"org.opencontainers.image.ref.name": name[strings.LastIndex(name, ":")+1:],
	}))
	if err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	files, err := read(dir)
	if err != nil {
		return err
	}
	return writeTar(out, files)
}

// read returns what is below dir in the order of names.
func read(dir string) ([]entry, error) {
	var found []entry
	err := filepath.WalkDir(dir, func(file string, item fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		relative, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		if item.IsDir() {
			found = append(found, entry{name: filepath.ToSlash(relative) + "/", mode: 0o755})
			return nil
		}
		content, err := os.ReadFile(file)
		found = append(found, entry{name: filepath.ToSlash(relative), mode: 0o644, content: content})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the layout: %w", err)
	}
	return found, nil
}

// writeTar writes the entries in their order, owned by root and without times.
// A name that ends in a slash is a folder.
func writeTar(out io.Writer, entries []entry) error {
	archive := tar.NewWriter(out)
	for _, e := range entries {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: e.mode, Size: int64(len(e.content))}
		if strings.HasSuffix(e.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("write %s: %w", path.Base(e.name), err)
		}
		if _, err := archive.Write(e.content); err != nil {
			return fmt.Errorf("write %s: %w", path.Base(e.name), err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return nil
}
