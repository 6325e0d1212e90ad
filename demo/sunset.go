// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// partnerSunset is kept in the route; it is read from there, so that what is
// waited for is what was applied.
func (d *demo) partnerSunset(ctx context.Context) (time.Time, error) {
	value, err := d.kubectl.get(ctx, "get", "callbackroute", partnerRoute, "-n", routeNamespace, "-o", "jsonpath={.spec.sunsetTime}")
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the sunset of %s: %w", partnerRoute, err)
	}
	return at, nil
}

// applyPartner applies the sample's route under another name and path, ending
// in seconds, and signs in through it while it lasts.
func (d *demo) applyPartner(ctx context.Context) error {
	sample, err := d.sampleRoute()
	if err != nil {
		return err
	}
	route, err := asPartner(sample)
	if err != nil {
		return err
	}
	now := d.clock.Now()
	sunset := now.Add(partnerLifetime).Truncate(time.Second)
	if err := setSchedule(route, now.Add(-time.Hour), sunset); err != nil {
		return err
	}
	d.say("(3-route.yaml once more, as %s with the path %s and the sunset %s)", partnerRoute, partnerPath, rfc3339(sunset))
	if err := d.apply(ctx, manifest{route}); err != nil {
		return err
	}
	if err := d.waitFor(ctx, "Ready", partnerRoute); err != nil {
		return err
	}
	for _, p := range d.proxies {
		if err := d.loginBeforeSunset(ctx, p, sunset); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) loginBeforeSunset(ctx context.Context, p *proxy, sunset time.Time) error {
	opened, err := d.login(ctx, d.blue, p, partnerPath)
	if err != nil {
		return err
	}
	d.showLastHop(opened)
	page := d.showPage(opened)
	for _, name := range []string{"Deprecation", "Sunset", "Link"} {
		for _, value := range opened.Header.Values(name) {
			d.say("  %s: %s", name, value)
		}
	}
	want := sunset.UTC().Format(http.TimeFormat) // RFC 8594
	d.checks.require(opened.Status == http.StatusOK && page.Backend == "blue" && opened.Header.Get("Sunset") == want,
		"before the sunset, "+p.name+" delivers and announces it",
		"%d from %q with Sunset %q, not %q", opened.Status, page.Backend, opened.Header.Get("Sunset"), want)
	return nil
}

// letSunsetPass waits for the time, nothing else, and then signs in again.
func (d *demo) letSunsetPass(ctx context.Context) error {
	sunset, err := d.partnerSunset(ctx)
	if err != nil {
		return err
	}
	left := sunset.Sub(d.clock.Now())
	d.say("waiting %s, until %s", max(0, left).Round(100*time.Millisecond), rfc3339(sunset))
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
	err = d.waitFor(ctx, "SunsetPassed", partnerRoute)
	d.checks.require(err == nil, "the route says SunsetPassed", "%v", err)
	if err != nil {
		return err
	}
	_, err = d.kubectl.show(ctx, "get", "callbackroute", partnerRoute, "-n", routeNamespace, "-o",
		`jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}`)
	return err
}

func (d *demo) loginAfterSunset(ctx context.Context, p *proxy, sunset time.Time) error {
	before := d.blue.Stats().Callbacks
	opened, err := d.login(ctx, d.blue, p, partnerPath)
	if err != nil {
		return err
	}
	late := d.clock.Now().Sub(sunset).Round(time.Millisecond)
	d.say("  %s, %s after the sunset", opened.Hops[len(opened.Hops)-1], late)
	d.say("%s", strings.TrimRight(indent(string(opened.Body)), "\n"))
	reached := d.blue.Stats().Callbacks - before
	d.checks.require(opened.Status == http.StatusGone && reached == 0,
		"after the sunset, "+p.name+" answers 410 and leaves blue alone",
		"%d, and %d callbacks reached blue", opened.Status, reached)
	return nil
}
