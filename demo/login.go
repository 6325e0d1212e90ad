// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// login.go signs in through the proxies and switches the route between.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/test/idp/browser"
	"github.com/callbackproxy/callback-operator/test/idp/identity"
	"github.com/callbackproxy/callback-operator/test/idp/provider"
	"github.com/callbackproxy/callback-operator/test/installation"
)

func (d *demo) loginOnBlue(ctx context.Context) error {
	d.printf("The route covers only the callback path. A front door serves the rest of the host; the demo's browser")
	d.printf("stands in for it and sends %s to blue.", identity.StartPath)
	return d.loginThroughAll(ctx, "blue", d.blue)
}

func (d *demo) loginOnGreen(ctx context.Context) error {
	d.printf("The front door now sends %s to green.", identity.StartPath)
	return d.loginThroughAll(ctx, "green", d.green)
}

// loginThroughAll signs in once through each proxy and checks that the service
// that started the login finished it.
func (d *demo) loginThroughAll(ctx context.Context, name string, starts *identity.Service) error {
	for i, p := range d.proxies {
		before := starts.Stats().Logins
		opened, err := d.login(ctx, starts, p, callbackPath)
		if err != nil {
			return err
		}
		if i == 0 {
			d.showHops(opened)
		} else {
			d.showLastHop(opened)
		}
		page := d.showPage(opened)
		held := opened.Status == http.StatusOK && page.Backend == name && page.User == demoUser &&
			starts.Stats().Logins == before+1
		d.checks.add(held, fmt.Sprintf("a login through %s finishes on %s", p.Name, name),
			"status %d from %q: %s", opened.Status, page.Backend, page.Message)
	}
	return nil
}

// login opens the start page in a new browser and follows it to the end.
func (d *demo) login(ctx context.Context, starts *identity.Service, p *installation.Proxy, callback string) (*browser.Page, error) {
	b, err := browser.New(frontDoor(starts, p))
	if err != nil {
		return nil, err
	}
	query := url.Values{identity.CallbackParameter: {callback}}
	return b.Open(ctx, d.publicURL(identity.StartPath)+"?"+query.Encode())
}

// frontDoor is the network between the browser and the servers: it sends
// callbacks to a proxy and the rest of the host to the service that starts
// logins. The provider is reached by its own address.
func frontDoor(starts *identity.Service, p *installation.Proxy) browser.Route {
	return func(u *url.URL) string {
		switch {
		case u.Hostname() != host:
			return u.Host
		case u.Path == callbackPath || u.Path == partnerPath:
			return p.Address
		default:
			return starts.Addr()
		}
	}
}

// showHops prints the way of the browser. Only the last hop, the callback, is
// shown with the names of its parameters.
func (d *demo) showHops(page *browser.Page) {
	for _, hop := range page.Hops[:len(page.Hops)-1] {
		if path, _, hasQuery := strings.Cut(hop.Target, "?"); hasQuery {
			hop.Target = path + "?…"
		}
		d.printf("  %s", hop)
	}
	d.showLastHop(page)
}

func (d *demo) showLastHop(page *browser.Page) { d.printf("  %s", page.Hops[len(page.Hops)-1]) }

// showPage prints the body of the last page and returns it. The page of another
// server becomes the message of an empty one.
func (d *demo) showPage(opened *browser.Page) identity.Page {
	body := strings.TrimSpace(string(opened.Body))
	d.printf("  %s", body)
	var page identity.Page
	if err := json.Unmarshal(opened.Body, &page); err != nil {
		return identity.Page{Message: body}
	}
	return page
}

// openLogin is a login whose callback was not sent yet.
type openLogin struct {
	browser  *browser.Browser
	proxy    *installation.Proxy
	callback string
}

// beginLogin begins a login on blue through each proxy, up to the callback.
func (d *demo) beginLogin(ctx context.Context) error {
	isCallback := func(u *url.URL) bool { return u.Hostname() == host && u.Path == callbackPath }
	for _, p := range d.proxies {
		b, err := browser.New(frontDoor(d.blue, p))
		if err != nil {
			return err
		}
		page, callback, err := b.OpenUntil(ctx, d.publicURL(identity.StartPath), isCallback)
		if err != nil {
			return err
		}
		if callback == "" {
			return fmt.Errorf("begin a login: the provider responded with %d and no callback", page.Status)
		}
		d.open = append(d.open, openLogin{b, p, callback})
	}
	d.printf("The user is at the provider, and will come back to %s.", callbackPath)
	return nil
}

// finishLogin sends the callbacks of the open logins: blue has their state, so blue
// has to get them.
func (d *demo) finishLogin(ctx context.Context) error {
	for i, login := range d.open {
		opened, err := login.browser.Open(ctx, login.callback)
		if err != nil {
			return err
		}
		if i == 0 {
			d.showLastHop(opened)
		}
		page := d.showPage(opened)
		d.checks.add(opened.Status == http.StatusOK && page.Backend == "blue" && page.User == demoUser,
			"a login that began on blue finishes on blue after the switch, through "+login.proxy.Name,
			"status %d from %q: %s", opened.Status, page.Backend, page.Message)
	}
	return nil
}

// switchToGreen declares green for new logins, and gives each callback to the
// service that began its login.
func (d *demo) switchToGreen(ctx context.Context) error {
	began := d.clock.Now()
	_, err := d.kubectl.show(ctx, "patch", "callbackroute", routeName, "-n", routeNamespace, "--type=json", "-p", switchPatch())
	if err != nil {
		return err
	}
	err = d.waitRoute(ctx, "Programmed", routeName)
	d.checks.add(err == nil, "every proxy acknowledges the switch", "%v", err)
	if err != nil {
		return err
	}
	d.changeDuration = d.clock.Since(began)
	d.printf("%s from the start of the patch to the acknowledgement by all proxies, with both runs of kubectl",
		d.changeDuration.Round(time.Millisecond))
	d.printf("Green sets a cookie %s… when a login begins there: its callbacks go to green, all others to blue.", identity.LoginCookiePrefix("green"))
	_, err = d.kubectl.show(ctx, "get", "callbackroutes", "-n", routeNamespace)
	return err
}

// switchPatch is a JSON patch of the weights and of the ownership.
func switchPatch() string {
	ownership := fmt.Sprintf(`{"op":"add","path":"/spec/ownership","value":{"rules":[{"type":"Cookie","cookie":{"namePrefix":%q},"backend":"green"}],`+
		`"unowned":{"type":"Backend","backend":"blue"}}}`, identity.LoginCookiePrefix("green"))
	return "[" + weights(0, 100) + "," + ownership + "]"
}

// weights are operations of a JSON patch for the weights of blue and green, in the
// order of the sample.
func weights(blue, green int) string {
	return fmt.Sprintf(`{"op":"replace","path":"/spec/backends/0/weight","value":%d},`+
		`{"op":"replace","path":"/spec/backends/1/weight","value":%d}`, blue, green)
}

// showEvents checks that the switch is recorded as an event.
func (d *demo) showEvents(ctx context.Context) error {
	output, err := d.kubectl.show(ctx, "events", "-n", routeNamespace, "--for=callbackroute/"+routeName)
	d.checks.add(strings.Contains(output, "Programmed") && strings.Contains(output, "green"),
		"the switch is an event of the route", "the events are: %s", output)
	return err
}

// compareTotals checks what must hold over the whole run.
func (d *demo) compareTotals(ctx context.Context) error {
	stats := d.provider.Stats()
	d.printf("the provider issued %d codes; %d were redeemed; %d token requests failed", stats.Codes, stats.Tokens, stats.Refused)
	late := int64(len(d.proxies)) // codes whose callback came after the sunset
	d.checks.add(stats == (provider.Stats{Codes: stats.Codes, Tokens: stats.Codes - late}),
		"each code was redeemed once, except those after the sunset", "%+v", stats)
	for _, p := range d.proxies {
		files, err := os.ReadDir(p.StateDir)
		d.checks.add(err == nil && len(files) > 0, p.Name+" keeps its config on disk", "its state directory is empty (%v)", err)
	}
	output, err := d.kubectl.show(ctx, "get", "callbacks", "-A")
	d.checks.add(err == nil && strings.Contains(output, routeName), "kubectl lists the routes", "%s", output)
	return err
}
