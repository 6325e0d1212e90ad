// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image makes an OCI archive of one static binary, without an image
// builder and without a registry: what the Dockerfile would make of the same
// binary. The same binary gives the same archive, byte by byte.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	err := run(os.Args[1:], os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// run makes the archive that args ask for.
func run(args []string, usage io.Writer) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(usage)
	output := flags.String("output", "", "file to write")
	s := spec{Certificates: certificates, Labels: map[string]string{}}
	flags.StringVar(&s.Name, "name", "", "whole name of the image, such as localhost/callback-proxy:dev")
	flags.StringVar(&s.User, "user", "65532:65532", "uid:gid that the image runs as")
	flags.Func("label", "NAME=VALUE, may be repeated", func(label string) error {
		name, value, found := strings.Cut(label, "=")
		if !found {
			return errors.New("want NAME=VALUE")
		}
		s.Labels[name] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *output == "" {
		return errors.New("want --output, --name and one binary")
	}
	if host, tagged, _ := strings.Cut(s.Name, "/"); host == "" || !strings.Contains(tagged, ":") {
		return fmt.Errorf("name %q: want HOST/NAME:TAG", s.Name)
	}
	s.Binary = flags.Arg(0)
	image, err := build(s)
	if err != nil {
		return err
	}
	return save(*output, func(file io.Writer) error { return write(image, s.Name, file) })
}

// save writes a file that is whole or not there.
func save(name string, fill func(io.Writer) error) (err error) {
	part, err := os.Create(name + ".part")
	if err != nil {
		return fmt.Errorf("create the archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	if err := errors.Join(fill(part), part.Close()); err != nil {
		return err
	}
	if err := os.Rename(part.Name(), name); err != nil {
		return fmt.Errorf("name the archive: %w", err)
	}
	return nil
}
