// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// partner.go is the second route, which reaches its sunset.

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/test/installation"
)

// minLead is the least time between the change of the sunset and the sunset.
const minLead = 3 * time.Second

// applyPartner applies the sample's route with another name and another path,
// and signs in through it.
func (d *demo) applyPartner(ctx context.Context) error {
	manifest, err := partnerManifest()
	if err != nil {
		return err
	}
	d.printf("(%s/3-route.yaml with the name %s and the path %s)", samples, partnerRoute, partnerPath)
	if _, err := d.kubectl.showWithInput(ctx, manifest, "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	if err := d.waitRoute(ctx, "Ready", partnerRoute); err != nil {
		return err
	}
	sunset, err := d.partnerSunset(ctx)
	if err != nil {
		return err
	}
	for _, p := range d.proxies {
		if err := d.loginBeforeSunset(ctx, p, sunset); err != nil {
			return err
		}
	}
	return nil
}

// partnerSunset reads the time from the object.
func (d *demo) partnerSunset(ctx context.Context) (time.Time, error) {
	value, err := d.kubectl.get(ctx, "get", "callbackroute", partnerRoute, "-n", routeNamespace, "-o", "jsonpath={.spec.sunsetTime}")
	if err != nil {
		return time.Time{}, err
	}
	sunset, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the sunset of %s: %w", partnerRoute, err)
	}
	return sunset, nil
}

func (d *demo) loginBeforeSunset(ctx context.Context, p *installation.Proxy, sunset time.Time) error {
	opened, err := d.login(ctx, d.blue, p, partnerPath)
	if err != nil {
		return err
	}
	d.showLastHop(opened)
	page := d.showPage(opened)
	if p == d.proxies[0] {
		for _, name := range []string{"Deprecation", "Sunset", "Link"} {
			for _, value := range opened.Header.Values(name) {
				d.printf("  %s: %s", name, value)
			}
		}
	}
	want := sunset.UTC().Format(http.TimeFormat) // RFC 8594
	d.checks.add(opened.Status == http.StatusOK && page.Backend == "blue" && opened.Header.Get("Sunset") == want,
		p.Name+" delivers before the sunset and announces it",
		"status %d from %q with Sunset %q instead of %q", opened.Status, page.Backend, opened.Header.Get("Sunset"), want)
	return nil
}

// endPartner brings the sunset forward, waits for it and signs in again.
func (d *demo) endPartner(ctx context.Context) error {
	sunset, err := d.bringSunsetForward(ctx)
	if err != nil {
		return err
	}
	left := max(0, sunset.Sub(d.clock.Now()))
	d.printf("waiting %s, until %s", left.Round(100*time.Millisecond), rfc3339(sunset))
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, p := range d.proxies {
		if err := d.loginAfterSunset(ctx, p, sunset); err != nil {
			return err
		}
	}
	err = d.waitRoute(ctx, "SunsetPassed", partnerRoute)
	d.checks.add(err == nil, "the second route has the condition SunsetPassed", "%v", err)
	if err != nil {
		return err
	}
	_, err = d.kubectl.show(ctx, "get", "callbackroute", partnerRoute, "-n", routeNamespace, "-o",
		`jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}`)
	return err
}

// bringSunsetForward sets the sunset to a time by which both proxies have it
// even on a busy machine: five times as far away as the last change took.
func (d *demo) bringSunsetForward(ctx context.Context) (time.Time, error) {
	sunset := d.clock.Now().Add(max(minLead, 5*d.changeDuration)).Truncate(time.Second).Add(time.Second)
	_, err := d.kubectl.show(ctx, "patch", "callbackroute", partnerRoute, "-n", routeNamespace, "--type=merge",
		"-p", fmt.Sprintf(`{"spec":{"sunsetTime":%q}}`, rfc3339(sunset)))
	if err != nil {
		return time.Time{}, err
	}
	if err := d.waitRoute(ctx, "Programmed", partnerRoute); err != nil {
		return time.Time{}, err
	}
	return d.partnerSunset(ctx)
}

func (d *demo) loginAfterSunset(ctx context.Context, p *installation.Proxy, sunset time.Time) error {
	before := d.blue.Stats().Callbacks
	opened, err := d.login(ctx, d.blue, p, partnerPath)
	if err != nil {
		return err
	}
	late := d.clock.Now().Sub(sunset).Round(time.Millisecond)
	d.printf("  %s, %s after the sunset", opened.Hops[len(opened.Hops)-1], late)
	if p == d.proxies[0] {
		d.printf("%s", strings.TrimRight(indent(string(opened.Body)), "\n"))
	}
	delivered := d.blue.Stats().Callbacks - before
	d.checks.add(opened.Status == http.StatusGone && delivered == 0,
		p.Name+" responds with 410 after the sunset, and blue gets nothing",
		"status %d, and blue got %d callbacks", opened.Status, delivered)
	return nil
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
