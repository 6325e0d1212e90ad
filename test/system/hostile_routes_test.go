// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// Routes are stored that no schema accepts, each a trap for another part of a
// pass: the others converge within 5 s, no write is repeated without end, and
// the manager does not restart. A test of controllers/compile shows that a pass
// survives a rule that panics; no stored object is known to cause a panic, and
// this test searches for one.
func TestF11_HostileRoutesDoNotAffectOthers(t *testing.T) {
	s := shared(t, "F11")
	crd := s.schema()
	crd.relax()
	hostile := s.hostile()
	names := slices.Sorted(maps.Keys(hostile))
	stored := 0
	for _, name := range names {
		object := s.raw("identity", "hostile-"+name, hostile[name])
		s.Expect(s.tolerant.Create(s.ctx, object)).To(Succeed(), name)
		stored++
	}
	took := s.converging(5 * time.Second)
	s.converges(patience)
	for _, name := range names {
		if slices.Contains([]string{"null", "list", "string", "empty"}, name) {
			continue // without a CallbackProxy no status is written
		}
		accepted := s.condition("identity", "hostile-"+name, callbackv1alpha1.ConditionAccepted)
		s.Expect(accepted.Message).NotTo(BeEmpty(), name)
		s.Expect(len(accepted.Message)).To(BeNumerically("<", 4096), "%s: %.200s", name, accepted.Message)
	}
	m := s.managers[0]
	passes := s.idle(func() float64 { return s.managerMetric("controller_runtime_reconcile_total") })
	crd.restore() // the stored objects stay, and are now invalid
	again := s.converging(5 * time.Second)
	s.Expect(s.managerMetric("controller_runtime_reconcile_panics_total")).To(BeZero())
	s.Expect(s.managerMetric("controller_runtime_reconcile_errors_total")).To(BeZero())
	s.Expect(m.Restarts()).To(BeZero(), m.logTail())
	s.record("%d hostile routes stored (none causes a panic; controllers/compile injects one): another route served after %.1f s, %.1f s after the proper CRD was back",
		stored, took.Seconds(), again.Seconds())
	s.record("they cause %.1f passes and no write a minute; manager restarted %d times", passes, m.Restarts())
	s.finish()
}

// converging creates a good route and returns how long it takes until both
// proxies serve it and its status reports that.
func (s *system) converging(limit time.Duration) time.Duration {
	s.t.Helper()
	name := fmt.Sprintf("good-%d", time.Now().UnixNano())
	began := time.Now()
	s.Expect(s.Client.Create(s.ctx, complete(route{name: name, active: "green"}.object()))).To(Succeed())
	s.responds(200, authHost, "/"+name, limit)
	s.Eventually(func() string {
		return string(s.condition("identity", name, callbackv1alpha1.ConditionProgrammed).Status)
	}, limit, 20*time.Millisecond).Should(Equal("True"))
	took := time.Since(began)
	s.Expect(took).To(BeNumerically("<=", limit))
	return took
}

// idle observes a cluster without changes, and returns the growth of a count in
// a minute. No status of a hostile route may be written.
func (s *system) idle(count func() float64) float64 {
	s.t.Helper()
	s.wait(2 * time.Second)
	began, before := time.Now(), count()
	s.wait(lasting(8*time.Second, 2*time.Minute))
	writes := s.managers[0].api.Calls(interposer.And(interposer.Writes, interposer.Since(began), func(c interposer.Call) bool {
		return strings.HasPrefix(c.Name, "hostile-")
	}))
	s.Expect(writes).To(BeEmpty())
	return (count() - before) / time.Since(began).Minutes()
}

// hostile are specs by their defect.
func (s *system) hostile() map[string]string {
	s.t.Helper()
	service := func(fields map[string]any) map[string]any {
		out := map[string]any{"name": "legacy-idp", "port": 8080}
		maps.Copy(out, fields)
		return out
	}
	backend := func(fields map[string]any) []any {
		out := map[string]any{"name": "blue", "service": service(nil)}
		maps.Copy(out, fields)
		return []any{out}
	}
	callback := func(path, pathType string) []any {
		return []any{map[string]any{"name": "login", "path": path, "pathType": pathType}}
	}
	nested := strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500)
	specs := map[string]string{
		"null":    `null`,
		"list":    `[1]`,
		"string":  `"spec"`,
		"empty":   `{}`,
		"bare":    `{"proxyRef":{"name":"edge","namespace":"callback-system"},"afterSunset":"Reject"}`,
		"deep":    `{"proxyRef":{"name":"edge","namespace":"callback-system"},"hostnames":` + nested + `}`,
		"strange": `{"proxyRef":{"name":"edge/../..","namespace":"callback-system\u0000"}}`,
	}
	for name, fields := range map[string]map[string]any{
		"no-backends":   {"backends": nil},
		"null-backend":  {"backends": []any{nil}},
		"negative":      {"backends": backend(map[string]any{"weight": -5})},
		"overflow":      {"backends": backend(map[string]any{"weight": 1e300})},
		"wide-port":     {"backends": backend(map[string]any{"service": service(map[string]any{"port": 70000})})},
		"no-port":       {"backends": backend(map[string]any{"service": service(map[string]any{"port": 0})})},
		"nul-service":   {"backends": backend(map[string]any{"service": service(map[string]any{"name": "a\x00b"})})},
		"zero-check":    {"backends": backend(map[string]any{"healthCheck": map[string]any{"intervalSeconds": -1, "timeoutSeconds": 1 << 31}})},
		"check-path":    {"backends": backend(map[string]any{"healthCheck": map[string]any{"path": "/a b\r\nX: y"}})},
		"same-backends": {"backends": append(backend(nil), backend(nil)...)},
		"many-backends": {"backends": slices.Repeat(backend(nil), 5000)},
		"no-host":       {"hostnames": []any{}},
		"odd-host":      {"hostnames": []any{"", "*", "..", "a\nb", strings.Repeat("x", 100000)}},
		"same-hosts":    {"hostnames": slices.Repeat([]any{authHost}, 5000)},
		"no-path":       {"callbacks": []any{map[string]any{}}},
		"odd-path":      {"callbacks": callback("no-slash", "Regex")},
		"up-path":       {"callbacks": callback("/../../x", "Prefix")},
		"long-path":     {"callbacks": callback("/"+strings.Repeat("a/", 100000), "Exact")},
		"null-callback": {"callbacks": []any{nil}},
		"many-paths":    {"callbacks": slices.Repeat(callback("/same", "Exact"), 5000)},
		"failover-self": {"backends": backend(map[string]any{"failover": map[string]any{"backend": "blue", "loginState": "Shared"}})},
		"failover-gone": {"backends": backend(map[string]any{"failover": map[string]any{"backend": "no", "loginState": "Else"}})},
		"odd-paths":     {"backends": backend(map[string]any{"paths": []any{map[string]any{"callback": "no", "path": "x"}}})},
		"no-time":       {"sunsetTime": nil},
		"odd-time":      {"sunsetTime": "0000-00-00T00:00:00Z"},
		"zone-time":     {"sunsetTime": "2027-01-31T00:00:00-25:99"},
		"far-time":      {"sunsetTime": "9999-12-31T23:59:59Z"},
		"early-time":    {"sunsetTime": "0001-01-01T00:00:00Z"},
		"backwards":     {"deprecationTime": "2999-01-01T00:00:00Z"},
		"no-protocol":   {"protocol": "Telepathy"},
		"timeouts":      {"timeouts": map[string]any{"requestSeconds": -1}},
		"url":           {"infoURL": "https://x\"><script>\r\nSet-Cookie: a=b"},
	} {
		specs[name] = s.altered("hostile-"+name, fields)
	}
	return specs
}
