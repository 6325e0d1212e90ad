// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// settings come from the environment; README.md lists them.
type settings struct {
	kubeconfig, kubectl, helm     string
	managerImage, proxyImage, e2e string
	stopAPI, startAPI             string
	chart                         string
	rate                          int
	keep                          bool
}

func readSettings(t *testing.T) settings {
	t.Helper()
	s := settings{
		kubeconfig:   os.Getenv("E2E_KUBECONFIG"),
		managerImage: cmp.Or(os.Getenv("E2E_MANAGER_IMAGE"), "localhost/callback-manager:dev"),
		proxyImage:   cmp.Or(os.Getenv("E2E_PROXY_IMAGE"), "localhost/callback-proxy:dev"),
		e2e:          cmp.Or(os.Getenv("E2E_IMAGE"), "localhost/callback-e2e:dev"),
		chart:        cmp.Or(os.Getenv("E2E_CHART"), "../../charts/callback-operator"),
		stopAPI:      os.Getenv("E2E_STOP_API"),
		startAPI:     os.Getenv("E2E_START_API"),
		keep:         os.Getenv("E2E_KEEP") != "",
	}
	if s.kubeconfig == "" {
		t.Fatal("E2E_KUBECONFIG is not set: it names the kubeconfig of the cluster to run on, as an administrator. " +
			"make cluster makes one; see test/cluster/README.md.")
	}
	if _, err := os.Stat(s.kubeconfig); err != nil {
		t.Fatalf("E2E_KUBECONFIG names no file that can be read: %v", err)
	}
	s.kubectl, s.helm = program(t, "E2E_KUBECTL", "kubectl"), program(t, "E2E_HELM", "helm")
	var err error
	if s.rate, err = strconv.Atoi(cmp.Or(os.Getenv("E2E_RATE"), "50")); err != nil || s.rate <= 0 {
		t.Fatalf("E2E_RATE must be a number of requests per second: %q", os.Getenv("E2E_RATE"))
	}
	if (s.stopAPI == "") != (s.startAPI == "") {
		t.Fatal("E2E_STOP_API and E2E_START_API are set together or not at all")
	}
	for name, image := range map[string]string{"E2E_MANAGER_IMAGE": s.managerImage, "E2E_PROXY_IMAGE": s.proxyImage} {
		if repository, tag := split(image); repository == "" || tag == "" {
			t.Fatalf("%s must be REPOSITORY:TAG: %q", name, image)
		}
	}
	return s
}

func program(t *testing.T, variable, name string) string {
	t.Helper()
	found, err := exec.LookPath(cmp.Or(os.Getenv(variable), name))
	if err != nil {
		t.Fatalf("%s is not there: put it on the PATH or name it in %s (%v)", name, variable, err)
	}
	return found
}

// split returns the parts of REPOSITORY:TAG.
func split(image string) (repository, tag string) {
	at := strings.LastIndex(image, ":")
	if at < strings.LastIndex(image, "/") || at < 0 {
		return image, ""
	}
	return image[:at], image[at+1:]
}
