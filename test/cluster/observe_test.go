// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/cluster/app/streams"
	"github.com/callbackproxy/callback-operator/test/idp/identity"
)

// get decodes the output of kubectl get.
func (w *world) get(into any, args ...string) error {
	output, err := w.tryKubectl(append([]string{"get", "-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(output), into); err != nil {
		return fmt.Errorf("decode the output of kubectl: %w", err)
	}
	return nil
}

func (w *world) pods(namespace, selector string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := w.get(&list, "pods", "-n", namespace, "-l", selector)
	return list.Items, err
}

// readyPods returns the names of the pods that are ready and not about to go.
func (w *world) readyPods(namespace, selector string) ([]string, error) {
	pods, err := w.pods(namespace, selector)
	var names []string
	for _, pod := range pods {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
				names = append(names, pod.Name)
			}
		}
	}
	return names, err
}

// awaitCondition polls until a route's condition has a status, and returns how
// long that took.
func (s *step) awaitCondition(limit time.Duration, name, namespace, condition string, status metav1.ConditionStatus, reason string) time.Duration {
	s.Helper()
	return s.within(limit, fmt.Sprintf("%s=%s/%s of route %s", condition, status, reason, name), func() (bool, string) {
		var route callbackv1alpha1.CallbackRoute
		if err := s.get(&route, "callbackroute", name, "-n", namespace); err != nil {
			return false, err.Error()
		}
		c := meta.FindStatusCondition(route.Status.Conditions, condition)
		saw, _ := json.Marshal(route.Status)
		return c != nil && c.Status == status && (reason == "" || c.Reason == reason) && c.ObservedGeneration == route.Generation, string(saw)
	})
}

// awaitEvent polls until there is an event with this reason since a time.
func (s *step) awaitEvent(limit time.Duration, name, namespace, reason string, since time.Time) time.Duration {
	s.Helper()
	return s.within(limit, fmt.Sprintf("event %s of %s", reason, name), func() (bool, string) {
		output, err := s.tryKubectl("get", "events.events.k8s.io", "-n", namespace, "-o",
			`jsonpath={range .items[?(@.regarding.name=="`+name+`")]}{.reason} {.eventTime} {.series.lastObservedTime} {.note}{"\n"}{end}`)
		for line := range strings.Lines(output) {
			fields := strings.Fields(line)
			if len(fields) < 2 || fields[0] != reason {
				continue
			}
			for _, field := range fields[1:] {
				if at, err := time.Parse(time.RFC3339Nano, field); err == nil && at.After(since) {
					return true, ""
				}
			}
		}
		return false, output + errorText(err)
	})
}

// inClient runs a command of the test image in the pod "client" and decodes
// its line.
func (s *step) inClient(into any, args ...string) {
	s.Helper()
	if err := s.tryInClient(into, args...); err != nil {
		s.fail("%v", err)
	}
}

func (w *world) tryInClient(into any, args ...string) error {
	all := append([]string{"exec", "-n", w.namespace("tools"), "client", "--", "/callback-e2e"}, args...)
	output, err := w.command(5*time.Minute, "", w.kubectl, all...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(output), into); err != nil {
		return fmt.Errorf("decode the output of %s: %w", args[0], err)
	}
	return nil
}

// login is the output of the command of that name.
type login struct {
	Status  int           `json:"status"`
	Page    identity.Page `json:"page"`
	Hops    []string      `json:"hops"`
	Seconds float64       `json:"seconds"`
}

// logIn signs in once and fails unless the login ends on a backend.
func (s *step) logIn(host, start, callback, backend string) login {
	s.Helper()
	var l login
	s.inClient(&l, "login", "--host="+host, "--start="+start, "--callback="+callback, "--path=/oauth2/callback")
	if l.Status != 200 || l.Page.Backend != backend || l.Page.User == "" {
		s.fail("the login ended with %d on %q (%s); want %s; its way was\n%s",
			l.Status, l.Page.Backend, l.Page.Message, backend, strings.Join(l.Hops, "\n"))
	}
	return l
}

// answer is the result of the command get.
type answer struct {
	Status int                 `json:"status"`
	Header map[string][]string `json:"header"`
	Body   string              `json:"body"`
}

// traffic is a load that runs in a pod of its own.
type traffic struct {
	*step
	name string
}

// way is how a load goes.
type way struct {
	// name is part of the pod's name and of every state.
	name, target, host string
	// passed loads send to the application instead of the callback: no backend
	// records them, so only the responses count.
	passed bool
}

// startTraffic begins to send and returns once the pod runs. Callbacks are for
// green alone.
func (s *step) startTraffic(w way) *traffic {
	s.Helper()
	s.leadsTo(w.target) // a load that the node does not know the way for yet would count that
	args := []string{"load", "--name=" + w.name, "--target=" + w.target, "--host=" + w.host, fmt.Sprintf("--rate=%d", s.rate)}
	if w.passed {
		args = append(args, "--path="+streams.Prefix+"echo")
	} else {
		args = append(args, "--path=/oauth2/callback", "--backend=green=green."+s.namespace("green")+".svc.cluster.local:8080",
			"--backend=blue=blue."+s.namespace("blue")+".svc.cluster.local:8080", "--expect=green")
	}
	var quoted []string
	for _, arg := range args {
		quoted = append(quoted, strconv.Quote(arg))
	}
	list := "[" + strings.Join(quoted, ", ") + "]"
	if _, err := s.tryApply("load.yaml", map[string]string{"NAME": "load-" + w.name, "ARGS": list}); err != nil {
		s.fail("%v", err)
	}
	s.waitFor(time.Minute, "jsonpath={.status.phase}=Running", "pod", "load-"+w.name, "-n", s.namespace("tools"))
	return &traffic{step: s, name: w.name}
}

// stop ends it and returns what it found.
func (l *traffic) stop() *callbacks.Outcome {
	l.Helper()
	pod := "load-" + l.name
	// The command may be cut off by the end of the container that it ends.
	_, _ = l.tryKubectl("exec", "-n", l.namespace("tools"), pod, "--", "/callback-e2e", "signal", "TERM")
	l.within(90*time.Second, "the end of "+pod, func() (bool, string) {
		output, err := l.tryKubectl("get", "pod", pod, "-n", l.namespace("tools"), "-o", "jsonpath={.status.phase}")
		return output == "Succeeded", output + errorText(err)
	})
	output := l.run("logs", pod, "-n", l.namespace("tools"))
	outcome := &callbacks.Outcome{}
	if err := json.Unmarshal([]byte(strings.TrimSpace(output)), outcome); err != nil {
		l.fail("decode the log of %s: %v: %s", pod, err, output)
	}
	l.run("delete", "pod", pod, "-n", l.namespace("tools"), "--wait=false")
	return outcome
}

// stopClean ends it, and fails unless no user noticed anything.
func (l *traffic) stopClean(during string) {
	l.Helper()
	o := l.stop()
	l.record("%s: %d requests in %.0f s: %d failed, %d duplicated, %d misrouted, %d contradicted, %d corrupted; p99 %.0f ms, slowest %.0f ms",
		during, o.Sent, o.Seconds, o.Failed, o.Duplicated, o.Misrouted, o.Contradicted, o.Corrupted, o.P99, o.Max)
	if !o.IsClean() {
		l.fail("users noticed: %+v", o)
	}
	if got := float64(o.Sent); got < 0.8*o.Seconds*float64(l.rate) {
		l.fail("the load was no load: %.0f requests in %.0f s", got, o.Seconds)
	}
}
