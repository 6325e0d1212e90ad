// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func TestRun_ServesUntilItIsInterrupted(t *testing.T) {
	g := NewWithT(t)
	theirs := filepath.Join(t.TempDir(), "theirs")
	g.Expect(os.WriteFile(theirs, []byte("mine"), 0o600)).To(Succeed())
	t.Setenv("KUBECONFIG", theirs)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, printed := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--kubeconfig", path}, printed, t.Output())
		_ = printed.CloseWithError(err)
		ended <- err
	}()

	line, err := bufio.NewReader(out).ReadString('\n')
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(line).To(Equal("export KUBECONFIG=" + path + "\n"))
	config, err := clientcmd.BuildConfigFromFlags("", path)
	g.Expect(err).NotTo(HaveOccurred())
	clients, err := kubernetes.NewForConfig(config)
	g.Expect(err).NotTo(HaveOccurred())
	resources, err := clients.Discovery().ServerResourcesForGroupVersion("callbackproxy.io/v1alpha1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(resources.APIResources).NotTo(BeEmpty())

	interrupt()
	g.Expect(<-ended).To(Succeed())
	_, err = os.Stat(path)
	g.Expect(err).To(MatchError(os.ErrNotExist))
	_, err = clients.Discovery().ServerVersion()
	g.Expect(err).To(HaveOccurred())
	g.Expect(os.ReadFile(theirs)).To(BeEquivalentTo("mine"))
}

func TestKubeconfigPath_RefusesAnExistingFile(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "config")
	g.Expect(os.WriteFile(path, []byte("mine"), 0o600)).To(Succeed())
	_, err := kubeconfigPath(path)
	g.Expect(err).To(MatchError(ContainSubstring("exists")))
	g.Expect(os.ReadFile(path)).To(BeEquivalentTo("mine"))
}
