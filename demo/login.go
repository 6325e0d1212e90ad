// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/callbackproxy/callback-operator/test/idp/browser"
	"github.com/callbackproxy/callback-operator/test/idp/identity"
	"github.com/callbackproxy/callback-operator/test/idp/provider"
)

func (d *demo) loginOnBlue(ctx context.Context) error {
	d.say("The route holds the callback path only. What else the host serves is for a front door in")
	d.say("front of it, which is simulated here: it now sends %s to blue.", identity.StartPath)
	return d.loginThroughAll(ctx, "blue", d.blue)
}

func (d *demo) loginOnGreen(ctx context.Context) error {
	d.say("The front door now sends %s to green.", identity.StartPath)
	return d.loginThroughAll(ctx, "green", d.green)
}

// loginThroughAll signs in once through each proxy and checks that the service
// that started the login ended it.
func (d *demo) loginThroughAll(ctx context.Context, name string, starts *identity.Service) error {
	for i, p := range d.proxies {
		before := starts.Stats().Logins
		opened, err := d.login(ctx, starts, p, callbackPath)
		if err != nil {
			return err
		}
		if i == 0 {
			d.showWay(opened)
		} else {
			d.showLastHop(opened)
		}
		page := d.showPage(opened)
		held := opened.Status == http.StatusOK && page.Backend == name && page.User == demoUser &&
			starts.Stats().Logins == before+1
		d.checks.require(held, fmt.Sprintf("a login through %s ends on %s", p.name, name),
			"it ended with %d on %q: %s", opened.Status, page.Backend, page.Message)
	}
	return nil
}

// login opens the start page in a new browser and follows it to the end.
func (d *demo) login(ctx context.Context, starts *identity.Service, p *proxy, callback string) (*browser.Page, error) {
	b, err := browser.New(d.route(starts, p))
	if err != nil {
		return nil, err
	}
	query := url.Values{identity.CallbackParameter: {callback}}
	return b.Open(ctx, d.publicURL(identity.StartPath)+"?"+query.Encode())
}

// route is the network between browser and servers: callbacks go to a proxy,
// everything else on the public host to the service that the front door names.
func (d *demo) route(starts *identity.Service, p *proxy) browser.Route {
	return func(u *url.URL) string {
		switch {
		case u.Hostname() != host:
			return u.Host
		case u.Path == callbackPath || u.Path == partnerPath:
			return d.address(p)
		default:
			return starts.Addr()
		}
	}
}

func (d *demo) showWay(page *browser.Page) {
	for _, hop := range page.Hops {
		d.say("  %s", hop)
	}
}

func (d *demo) showLastHop(page *browser.Page) { d.say("  %s", page.Hops[len(page.Hops)-1]) }

// showPage prints what the browser ended on, and returns it when it is one of
// an identity service.
func (d *demo) showPage(opened *browser.Page) identity.Page {
	d.say("  %s", strings.TrimSpace(string(opened.Body)))
	var page identity.Page
	if err := json.Unmarshal(opened.Body, &page); err != nil {
		return identity.Page{Message: strings.TrimSpace(string(opened.Body))}
	}
	return page
}

// showEvents checks that the switch left a trace which outlives a terminal.
func (d *demo) showEvents(ctx context.Context) error {
	said, err := d.kubectl.show(ctx, "get", "events", "-n", routeNamespace,
		"--field-selector=involvedObject.kind=CallbackRoute", "--sort-by=.metadata.creationTimestamp")
	d.checks.require(strings.Contains(said, "Programmed") && strings.Contains(said, "green"),
		"the switch is an event", "the events are: %s", said)
	return err
}

// conclude checks what must hold over the whole run.
func (d *demo) conclude(ctx context.Context) error {
	stats := d.provider.Stats()
	d.say("the provider issued %d codes, %d were redeemed, %d token requests failed", stats.Codes, stats.Tokens, stats.Refused)
	after := int64(len(d.proxies)) // issued for callbacks that came after the sunset
	d.checks.require(stats == (provider.Stats{Codes: stats.Codes, Tokens: stats.Codes - after}),
		"every code was delivered once, and none after the sunset", "%+v", stats)
	for _, p := range d.proxies {
		kept, err := os.ReadDir(p.stateDir)
		d.checks.require(err == nil && len(kept) > 0, p.name+" keeps its config on disk", "its state directory is empty (%v)", err)
	}
	said, err := d.kubectl.show(ctx, "get", "callbacks", "-A")
	d.checks.require(err == nil && strings.Contains(said, routeName), "kubectl lists what was made", "%s", said)
	return err
}
