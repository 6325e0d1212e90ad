// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// reportLimit is the time after which a dead backend must be in a condition and an event.
const reportLimit = 10 * time.Second

// backendGone: the only pod of a backend goes away.
func backendGone(s *step) {
	s.awaitQuiet()
	since := time.Now()
	s.run("scale", "deployment/blue", "-n", s.namespace("blue"), "--replicas=0")
	s.backendTold("without an endpoint", since)
}

// backendBack: the pod is there again. Good news may wait for half a minute,
// so that a backend that comes and goes does not fill the API server.
func backendBack(s *step) {
	blue := s.namespace("blue")
	s.run("scale", "deployment/blue", "-n", blue, "--replicas=1")
	s.rolledOut(time.Minute, "blue", blue)
	s.backendRecovers("after its pod was ready", time.Now())
}

// backendHangs makes it accept connections and never respond. Its pod stays ready.
func backendHangs(s *step) {
	s.awaitQuiet()
	s.backendTold("hanging", s.toggleHang())
}

func backendAnswers(s *step) { s.backendRecovers("after it could answer", s.toggleHang()) }

func (s *step) toggleHang() time.Time {
	s.Helper()
	at := time.Now()
	s.run("exec", "-n", s.namespace("blue"), "deployment/blue", "--", "/callback-e2e", "signal", "USR1")
	return at
}

// awaitQuiet waits until a route's status has not been written for longer than
// the operator keeps two pieces of news of one route apart: what comes then is
// measured from the fault on, and not from the news before.
func (s *step) awaitQuiet() {
	s.Helper()
	s.within(2*time.Minute, "half a minute without news of route acme-sso", func() (bool, string) {
		var route callbackv1alpha1.CallbackRoute
		err := s.get(&route, "callbackroute", "acme-sso", "-n", s.namespace("tenant"), "--show-managed-fields")
		var last time.Time
		for _, fields := range route.ManagedFields {
			if fields.Subresource == "status" && fields.Time != nil && fields.Time.After(last) {
				last = fields.Time.Time
			}
		}
		return err == nil && time.Since(last) > 32*time.Second, "news at " + clockTime(last) + errorText(err)
	})
}

func (s *step) backendTold(how string, since time.Time) {
	s.Helper()
	tenant := s.namespace("tenant")
	s.awaitCondition(4*reportLimit, "acme-sso", tenant, callbackv1alpha1.ConditionBackendsHealthy, metav1.ConditionFalse, "")
	condition := time.Since(since)
	reason := s.run("get", "callbackroute", "acme-sso", "-n", tenant, "-o",
		`jsonpath={.status.conditions[?(@.type=="BackendsHealthy")].reason}`)
	s.awaitEvent(2*reportLimit, "acme-sso", tenant, reason, since)
	event := time.Since(since)
	s.record("%s: condition %s after %.1f s, event after %.1f s", how, reason, condition.Seconds(), event.Seconds())
	if condition > reportLimit || event > reportLimit {
		s.fail("reported later than after %s", reportLimit)
	}
	// Blue gets no callbacks: who has weight 0 does not make a route unready.
	s.awaitCondition(reportLimit, "acme-sso", tenant, callbackv1alpha1.ConditionReady, metav1.ConditionTrue, "")
}

func (s *step) backendRecovers(how string, since time.Time) {
	s.Helper()
	tenant := s.namespace("tenant")
	s.awaitCondition(4*reportLimit, "acme-sso", tenant, callbackv1alpha1.ConditionBackendsHealthy, metav1.ConditionTrue, "")
	condition := time.Since(since)
	s.awaitEvent(2*reportLimit, "acme-sso", tenant, callbackv1alpha1.ReasonBackendsHealthy, since)
	s.record("condition %.1f s %s, event %.1f s", condition.Seconds(), how, time.Since(since).Seconds())
}

// sunset ends a route during the test.
func sunset(s *step) {
	tenant := s.namespace("tenant")
	at := time.Now().Add(12 * time.Second).Truncate(time.Second)
	s.values["SOON"] = at.UTC().Format(time.RFC3339)
	s.apply("6-ending.yaml")
	s.waitFor(10*time.Second, "condition=Ready", "callbackroute/ending", "-n", tenant)
	callback := "http://callback-edge." + s.namespace("system") + ".svc.cluster.local:8080/ending/callback?code=c&state=load-ending"
	var before, after answer
	s.inClient(&before, "get", "--host=auth.acme.test", "--url="+callback)
	if time.Now().Before(at) && before.Status != 200 {
		s.fail("before the sunset: status %d: %.200s", before.Status, before.Body)
	}
	time.Sleep(time.Until(at)) // the proxies decide by the same second
	s.inClient(&after, "get", "--host=auth.acme.test", "--url="+callback)
	if after.Status != 410 {
		s.fail("after the sunset: status %d: %.200s", after.Status, after.Body)
	}
	answered := time.Since(at)
	s.awaitCondition(30*time.Second, "ending", tenant, callbackv1alpha1.ConditionSunsetPassed, metav1.ConditionTrue, "")
	condition := time.Since(at)
	s.awaitEvent(30*time.Second, "ending", tenant, callbackv1alpha1.ReasonSunsetPassed, at.Add(-time.Second))
	s.record("410 for a request after %.1f s (status before: %d; Sunset: %v); condition after %.1f s, event after %.1f s",
		answered.Seconds(), before.Status, after.Header["Sunset"], condition.Seconds(), time.Since(at).Seconds())
	s.run("delete", "callbackroute", "ending", "-n", tenant)
}
