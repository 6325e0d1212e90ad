// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// profileVariable has the address of the profiler.
const profileVariable = "SCALE_PROFILE_ADDRESS"

// profiler is added to the manager's main package at build time, so the profiles
// are of the product itself, which has no hook for them.
const profiler = `package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
)

func init() {
	go func() { panic(http.ListenAndServe(os.Getenv("` + profileVariable + `"), nil)) }()
}
`

// buildProfiled builds the manager with the profiler laid over its source.
func (r *run) buildProfiled(dir, path string) {
	r.b.Helper()
	root, err := fixture.RepositoryRoot()
	r.Expect(err).NotTo(HaveOccurred())
	source := filepath.Join(dir, "profiler.go")
	r.Expect(os.WriteFile(source, []byte(profiler), 0o600)).To(Succeed())
	overlay, err := json.Marshal(map[string]any{
		"Replace": map[string]string{filepath.Join(root, "cmd", "manager", "profiler.go"): source},
	})
	r.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(dir, "overlay.json")
	r.Expect(os.WriteFile(file, overlay, 0o600)).To(Succeed())
	build := exec.CommandContext(r.ctx, "go", "build", "-overlay", file, "-o", path, "./cmd/manager")
	build.Dir = root
	out, err := build.CombinedOutput()
	r.Expect(err).NotTo(HaveOccurred(), string(out))
}

// profileSeconds is how long each profile is; one follows the other until the
// phase ends.
const profileSeconds = 20

// startProfiles takes CPU profiles of the manager and the API server until the
// returned function is called, and then a profile of the manager's heap.
func (r *run) startProfiles() (stop func()) {
	r.b.Helper()
	if r.settings.profiles == "" {
		return func() {}
	}
	r.Expect(os.MkdirAll(r.settings.profiles, 0o700)).To(Succeed())
	manager := "http://" + r.profile
	ctx, cancel := context.WithCancel(r.ctx)
	var taking sync.WaitGroup
	for name, take := range map[string]func(string, string){
		"manager":   func(path, file string) { r.fetch(http.DefaultClient, manager+path, file) },
		"apiserver": func(path, file string) { r.fetch(r.lapse.http, r.ControlPlane.Config.Host+path, file) },
	} {
		taking.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				take("/debug/pprof/profile?seconds="+strconv.Itoa(profileSeconds), name+"-"+strconv.Itoa(r.n)+"-cpu-"+strconv.Itoa(i))
			}
		})
	}
	return func() {
		cancel()
		taking.Wait()
		r.fetch(http.DefaultClient, manager+"/debug/pprof/heap?gc=1", "manager-"+strconv.Itoa(r.n)+"-heap")
	}
}

func (r *run) fetch(c *http.Client, url, name string) {
	began := time.Now()
	response, err := c.Get(url)
	if err != nil {
		r.log("no profile %s: %v", name, err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err == nil {
		err = os.WriteFile(filepath.Join(r.settings.profiles, name+".pprof"), content, 0o600)
	}
	r.log("profile %s after %s (%v)", name, time.Since(began).Round(time.Second), err)
}
