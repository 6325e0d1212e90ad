// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/callbackproxy/callback-operator/test/cluster/app/latency"
	"github.com/callbackproxy/callback-operator/test/cluster/app/streams"
)

const sidecar = "callback-proxy"

// inject: an application's team only writes a label on a pod.
func inject(s *step) {
	app := s.namespace("app")
	s.apply("7-sidecar.yaml")
	// Policies and their parameters reach the API server's caches a moment
	// after they are stored.
	var denial string
	s.within(30*time.Second, "the refusal of a pod whose label names no CallbackProxy", func() (bool, string) {
		out, err := s.tryApply("9-uninjected.yaml", nil)
		if err == nil {
			s.run("delete", "pod", "uninjected", "-n", app, "--now")
			return false, out
		}
		denial = err.Error()
		return strings.Contains(denial, "callbackproxy.io/inject") && strings.Contains(denial, "missing"), denial
	})
	_, why, _ := strings.Cut(denial, "denied request: ")
	s.record("a label without its CallbackProxy is denied: %.120s...", why)
	s.apply("8-app.yaml")
	s.rolledOut(2*time.Minute, "app", app)
	pod := s.appPod()
	if len(pod.Spec.InitContainers) == 0 || pod.Spec.InitContainers[0].Name != sidecar {
		s.fail("the first init container is not the sidecar: %+v", pod.Spec.InitContainers)
	}
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		if strings.HasPrefix(mount.MountPath, "/var/run/secrets") {
			s.fail("the application got a token that its manifest does not mount")
		}
	}
	s.waitFor(time.Minute, "condition=Ready", "callbackroute/app-sso", "-n", app)
	s.waitFor(time.Minute, "condition=Ready", "callbackproxy/front", "-n", app)
	s.record("namespace enforces restricted, pod has automountServiceAccountToken: %t; the sidecar reads its config by a token of its own",
		*pod.Spec.AutomountServiceAccountToken)
}

// appPod returns the one pod of the application that is to stay.
func (s *step) appPod() corev1.Pod {
	s.Helper()
	var found corev1.Pod
	s.within(time.Minute, "one pod of the application", func() (bool, string) {
		pods, err := s.pods(s.namespace("app"), "app=app")
		n := 0
		for _, pod := range pods {
			if pod.DeletionTimestamp == nil {
				found = pod
				n++
			}
		}
		return n == 1, fmt.Sprintf("%d of them %s", n, errorText(err))
	})
	return found
}

func (s *step) front() string { return "app." + s.namespace("app") + ".svc.cluster.local:8000" }

func (s *step) direct() string { return "app-direct." + s.namespace("app") + ".svc.cluster.local:8080" }

// sidecarLogins: the application starts its logins through the sidecar, as all
// else; green starts its own.
func sidecarLogins(s *step) {
	app := s.namespace("app")
	first := s.logIn("app.acme.test", s.front(), s.front(), "app")
	s.switchTo("app-sso", app, 0, 100)
	s.run("wait", "--for=condition=Programmed", "--timeout=60s", "callbackroute/app-sso", "-n", app)
	second := s.logIn("app.acme.test", "green."+s.namespace("green")+":8080", s.front(), "green")
	s.record("logins: app %.2f s, green %.2f s", first.Seconds, second.Seconds)
}

func passThrough(s *step) {
	var checks []streams.Check
	s.inClient(&checks, "streams", "--base=http://"+s.front(), "--host=app.acme.test")
	var names []string
	for _, check := range checks {
		if check.Error != "" {
			s.Errorf("%s: %s", check.Name, check.Error)
		}
		names = append(names, check.Name+": "+check.Saw)
	}
	s.record("%s", strings.Join(names, "; "))
	if s.Failed() {
		s.diagnose()
	}
}

// order holds a pod with a finalizer, so that it can be inspected when it is
// over.
func order(s *step) {
	app := s.namespace("app")
	pod := s.appPod()
	s.run("patch", "pod", pod.Name, "-n", app, "--type=merge", "-p", `{"metadata":{"finalizers":["callback-e2e/inspect"]}}`)
	s.run("delete", "pod", pod.Name, "-n", app, "--wait=false")
	var over corev1.Pod
	s.within(time.Minute, "the end of both containers", func() (bool, string) {
		over = corev1.Pod{}
		err := s.get(&over, "pod", pod.Name, "-n", app)
		all := slices.Concat(over.Status.InitContainerStatuses, over.Status.ContainerStatuses)
		ended := 0
		for _, c := range all {
			if c.State.Terminated != nil {
				ended++
			}
		}
		return ended == 2, fmt.Sprintf("%d of %d ended %s", ended, len(all), errorText(err))
	})
	s.run("patch", "pod", pod.Name, "-n", app, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	proxy, main := over.Status.InitContainerStatuses[0].State.Terminated, over.Status.ContainerStatuses[0].State.Terminated
	s.record("started: sidecar %s, app %s; ended: app %s (exit %d), sidecar %s (exit %d)",
		clockTime(proxy.StartedAt.Time), clockTime(main.StartedAt.Time),
		clockTime(main.FinishedAt.Time), main.ExitCode, clockTime(proxy.FinishedAt.Time), proxy.ExitCode)
	if proxy.StartedAt.After(main.StartedAt.Time) || main.FinishedAt.After(proxy.FinishedAt.Time) {
		s.fail("the order is wrong")
	}
	if main.ExitCode != 0 || proxy.ExitCode != 0 {
		s.fail("they did not end in order")
	}
	s.rolledOut(time.Minute, "app", app)
	s.appPod()
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04:05") }

// summary is the part of the kubelet's /stats/summary that is read here.
type summary struct {
	Pods []struct {
		PodRef     struct{ Name, Namespace string } `json:"podRef"`
		Containers []struct {
			Name   string `json:"name"`
			Memory struct {
				RSSBytes        uint64 `json:"rssBytes"`
				WorkingSetBytes uint64 `json:"workingSetBytes"`
			} `json:"memory"`
		} `json:"containers"`
	} `json:"pods"`
}

// memory is what the kubelet measures of one container, in MiB.
func (s *step) memory(pod corev1.Pod, container string) (rss, workingSet float64) {
	s.Helper()
	s.within(40*time.Second, "the kubelet's figures for "+pod.Name, func() (bool, string) {
		var stats summary
		output, err := s.tryKubectl("get", "--raw", "/api/v1/nodes/"+pod.Spec.NodeName+"/proxy/stats/summary")
		if err == nil {
			err = json.Unmarshal([]byte(output), &stats)
		}
		for _, p := range stats.Pods {
			if p.PodRef.Name != pod.Name || p.PodRef.Namespace != pod.Namespace {
				continue
			}
			for _, c := range p.Containers {
				if c.Name == container {
					rss, workingSet = float64(c.Memory.RSSBytes)/(1<<20), float64(c.Memory.WorkingSetBytes)/(1<<20)
				}
			}
		}
		return rss+workingSet > 0, "nothing of it " + errorText(err)
	})
	return rss, workingSet
}

// cost compares requests that are passed on with requests that go to the
// application at once, and compares the memory before and meanwhile.
func cost(s *step) {
	pod := s.appPod()
	time.Sleep(12 * time.Second) // the kubelet measures every 10 s
	idle, idleSet := s.memory(pod, sidecar)
	done := make(chan error, 1)
	var c latency.Comparison
	go func() {
		done <- s.tryInClient(&c, "latency", "--direct=http://"+s.direct(), "--through=http://"+s.front(),
			"--host=app.acme.test", "--path=/app/echo", fmt.Sprintf("--rate=%d", s.rate), "--for=30s")
	}()
	var busy, busySet float64
	for running := true; running; {
		select {
		case err := <-done:
			running = false
			if err != nil {
				s.fail("%v", err)
			}
		case <-time.After(4 * time.Second):
			rss, set := s.memory(pod, sidecar)
			busy, busySet = max(busy, rss), max(busySet, set)
		}
	}
	s.record("memory of the sidecar: idle %.1f MiB RSS (%.1f working set), at most %.1f MiB (%.1f) under %d requests/s",
		idle, idleSet, busy, busySet, s.rate)
	for when, p := range map[string]latency.Pair{"all the time": c.Whole, "the quietest sixth of it": c.Quietest} {
		s.record("pass-through at %d/s, %s: p50 %.2f ms against %.2f ms direct (+%.2f ms), p99 %.2f ms against %.2f ms (+%.2f ms, %.1f times)", s.rate, when,
			p.Through.P50, p.Direct.P50, p.AddedP50(), p.Through.P99, p.Direct.P99, p.AddedP99(), p.Through.P99/max(p.Direct.P99, 0.001))
	}
	if failed := c.Whole.Direct.Failed + c.Whole.Through.Failed; failed > 0 {
		s.fail("%d requests failed, %d of them through the sidecar", failed, c.Whole.Through.Failed)
	}
}
