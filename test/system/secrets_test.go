// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// A canary in every part of a callback that is secret arrives at the backend and
// is found in no response, log, metric, object or file.
func TestT10_NothingSecretLeavesTheProxies(t *testing.T) {
	t.Parallel()
	s := install(t, options{alone: true})
	s.declare(claim{namespace: "identity", name: "dead", host: authHost, path: "/dead", service: "missing-idp"})
	s.converges(patience)
	s.responds(http.StatusServiceUnavailable, authHost, "/dead", patience)
	canary := "CANARY" + fmt.Sprint(time.Now().UnixNano())
	for _, p := range s.proxies {
		for _, target := range []string{
			"/steady?code=" + canary + "&state=" + canary, "/dead?code=" + canary, "/nowhere/" + canary, "/steady?code=" + canary + "&code=" + canary,
			"/steady/../" + canary, "/steady?id_token=" + canary + "&" + canary + "=1",
		} {
			_, body := callbacks.Get(s.ctx, p.Address, authHost, target)
			s.Expect(body).NotTo(ContainSubstring(canary), "in a response of the proxy")
		}
	}
	s.Expect(s.Backends["blue"].Received()).To(ContainElement(ContainSubstring(canary)), "the control: it arrived")

	sinks := map[string]string{
		"manager's log": s.managers[0].Process().Output(),
		"objects":       s.kubectl("get", "callbackroutes,callbackproxies,callbackproxyconfigs,events,pods", "-A", "-o", "yaml"),
	}
	for _, p := range s.proxies {
		_, sinks["metrics of "+p.Name] = callbacks.Get(s.ctx, p.Admin, p.Admin, "/metrics")
		sinks["log of "+p.Name] = p.Process().Output()
	}
	for name, content := range sinks {
		s.Expect(content).NotTo(BeEmpty(), name)
		s.Expect(content).NotTo(ContainSubstring(canary), name)
	}
	files, err := filepath.Glob(filepath.Join(s.Dir, "state-*", "*"))
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(files).NotTo(BeEmpty())
	for _, file := range files {
		content, err := os.ReadFile(file)
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(string(content)).NotTo(ContainSubstring(canary), file)
	}
}
