// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// applySamples applies config/samples, with the few values that cannot be
// constants: the port, if it is taken here, and the times.
func (d *demo) applySamples(ctx context.Context) error {
	if err := d.applyPlatform(ctx); err != nil {
		return err
	}
	if _, err := d.kubectl.show(ctx, "apply", "-f", d.sample("2-identity.yaml")); err != nil {
		return err
	}
	if err := d.runBackendPods(ctx); err != nil {
		return err
	}
	route, err := d.sampleRoute()
	if err != nil {
		return err
	}
	now := d.clock.Now()
	deprecation, sunset := now.Add(-24*time.Hour), now.Add(60*24*time.Hour)
	if err := setSchedule(route, deprecation, sunset); err != nil {
		return err
	}
	d.say("(3-route.yaml, with its times moved to %s and %s)", rfc3339(deprecation), rfc3339(sunset))
	return d.apply(ctx, manifest{route})
}

func (d *demo) applyPlatform(ctx context.Context) error {
	platform, err := readManifest(d.sample("1-platform.yaml"))
	if err != nil {
		return err
	}
	edge, err := platform.find("CallbackProxy", proxyName)
	if err != nil {
		return err
	}
	port, err := listenerPort(edge)
	if err != nil {
		return err
	}
	if port == d.port {
		_, err := d.kubectl.show(ctx, "apply", "-f", d.sample("1-platform.yaml"))
		return err
	}
	d.say("(1-platform.yaml, with listener port %d instead of %d, which is taken on this machine)", d.port, port)
	if err := setListenerPort(edge, d.port); err != nil {
		return err
	}
	return d.apply(ctx, platform)
}

func (d *demo) apply(ctx context.Context, m manifest) error {
	text, err := m.yaml()
	if err != nil {
		return err
	}
	_, err = d.kubectl.showWithInput(ctx, text, "apply", "-f", "-")
	return err
}

func (d *demo) sampleRoute() (*unstructured.Unstructured, error) {
	m, err := readManifest(d.sample("3-route.yaml"))
	if err != nil {
		return nil, err
	}
	return m.find("CallbackRoute", routeName)
}

// runBackendPods gives the Services their Pods. Their addresses are nobody's:
// where the proxies really connect to is in their --connect-to.
func (d *demo) runBackendPods(ctx context.Context) error {
	for service, ip := range map[string]string{blueService: "198.51.100.10", greenService: "198.51.100.20"} {
		_, err := fixture.RunningPod(ctx, d.client, fixture.Pod{
			Namespace: routeNamespace, Name: service + "-0", Labels: map[string]string{"app": service},
			IP: ip, OnNode: true, Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// switchToGreen gives all new logins to green, the way a team would.
func (d *demo) switchToGreen(ctx context.Context) error {
	began := d.clock.Now()
	_, err := d.kubectl.show(ctx, "patch", "callbackroute", routeName, "-n", routeNamespace, "--type=json", "-p", weights(0, 100))
	if err != nil {
		return err
	}
	err = d.waitFor(ctx, "Programmed", routeName)
	d.checks.require(err == nil, "both proxies acknowledge the switch", "%v", err)
	if err != nil {
		return err
	}
	d.say("%s from the patch to the acknowledgement of both proxies, kubectl included", d.clock.Since(began).Round(time.Millisecond))
	_, err = d.kubectl.show(ctx, "get", "cbr", "-n", routeNamespace)
	return err
}

// weights is a JSON patch of the weights of blue and green, as the sample has
// them in this order.
func weights(blue, green int) string {
	return fmt.Sprintf(`[{"op":"replace","path":"/spec/backends/0/weight","value":%d},`+
		`{"op":"replace","path":"/spec/backends/1/weight","value":%d}]`, blue, green)
}

// waitFor waits for a condition that speaks of the route's newest generation.
func (d *demo) waitFor(ctx context.Context, condition, route string) error {
	_, err := d.kubectl.show(ctx, "wait", "--for=condition="+condition, kubectlPatience, "callbackroute/"+route, "-n", routeNamespace)
	if err != nil {
		status, _ := d.kubectl.get(ctx, "get", "callbackroute", route, "-n", routeNamespace, "-o", "jsonpath={.status.conditions}")
		return errors.Join(err, fmt.Errorf("the conditions are %s", status))
	}
	return nil
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
