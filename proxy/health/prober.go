// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

// prober.go: the request of one probe, and its result.

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

// Upstream reaches backends under the rules about which may be reached.
type Upstream interface {
	Attempt(ctx context.Context, p *upstream.Plan) (*upstream.Response, error)
	Reach(ctx context.Context, address string, timeout time.Duration) error
}

// PathProbeState begins the state (RelayState) of a path probe, so that a
// backend, and the readers of its log, can distinguish it from a login.
const PathProbeState = "callbackproxy-probe."

// prober probes one target. It reads the status of a response and no more.
type prober struct {
	upstream  Upstream
	now       func() time.Time
	pseudonym string
}

func (p prober) run(ctx context.Context, a *probe) finding {
	switch {
	case a.path != nil:
		return p.runPath(ctx, a)
	case a.check.Path == "":
		return judgeError(p.upstream.Reach(ctx, a.address, seconds(a.check.TimeoutSeconds)))
	}
	status, err := p.send(ctx, &upstream.Plan{
		Method: http.MethodGet, Lines: []string{"User-Agent: callbackproxy-health", "Accept: */*"},
		Choices: []upstream.Choice{{Addresses: []string{a.address}, Target: a.check.Path, Host: a.check.Host}},
		Total:   seconds(a.check.TimeoutSeconds),
	})
	switch {
	case err != nil:
		return judgeError(err)
	case status < http.StatusOK || status >= http.StatusBadRequest:
		return badStatus
	}
	return healthy
}

// runPath finds out whether the callback's path is served. A backend without any
// response is found by its health check.
func (p prober) runPath(ctx context.Context, a *probe) finding {
	status, err := p.send(ctx, a.path.plan(a.address, p.pseudonym, rand.Text(), p.now()))
	switch {
	case err != nil:
		return unmeasured
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status >= http.StatusInternalServerError:
		return pathNotServed
	}
	return healthy
}

func (p prober) send(ctx context.Context, plan *upstream.Plan) (status int, err error) {
	response, err := p.upstream.Attempt(ctx, plan)
	if err != nil {
		return 0, err
	}
	response.Close()
	return response.Status, nil
}

// judgeError returns the finding of an error: none when this process is at fault.
func judgeError(err error) finding {
	if err == nil {
		return healthy
	}
	failure := &upstream.Error{}
	errors.As(err, &failure)
	switch {
	case failure.Ours:
		return unmeasured
	case failure.Reason == upstream.DialFailed, failure.Reason == upstream.ForbiddenAddress, failure.Reason == upstream.NoAddress:
		return unreachable
	}
	return noAnswer
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// plan is a well-formed response of the route's protocol for a login that
// failed (RFC 6749 section 4.1.2.1; SAML 2.0 core section 3.2.2), with the fields
// that the proxy adds to a callback: backends may decide by them.
func (p *pathProbe) plan(address, pseudonym, random string, now time.Time) *upstream.Plan {
	plan := &upstream.Plan{
		Method: http.MethodGet, Total: pathTimeout,
		Lines: append([]string{"User-Agent: callbackproxy-probe", "Accept: */*"}, p.forwarded(pseudonym, random)...),
	}
	target, state := p.path, PathProbeState+random
	separator := "?"
	if p.query != "" {
		target += "?" + string(p.query)
		separator = "&"
	}
	if p.protocol != routetable.SAML {
		target += separator + url.Values{
			"error":             {"temporarily_unavailable"},
			"error_description": {"The callback proxy checks whether this path is served."},
			"state":             {state},
		}.Encode()
	} else {
		response := `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_` + random +
			`" Version="2.0" IssueInstant="` + now.UTC().Format(time.RFC3339) + `"><samlp:Status>` +
			`<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"/></samlp:Status></samlp:Response>`
		plan.Method, plan.Framed = http.MethodPost, true
		plan.Lines = append(plan.Lines, "Content-Type: application/x-www-form-urlencoded")
		plan.Body = []byte(url.Values{
			"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(response))}, "RelayState": {state},
		}.Encode())
	}
	plan.Choices = []upstream.Choice{{Addresses: []string{address}, Target: target, Host: p.host}}
	return plan
}

// forwarded are the fields that the proxy adds to a callback. The probe has no
// client, so its address is unknown (RFC 7239 section 6.2).
func (p *pathProbe) forwarded(pseudonym, requestID string) []string {
	var none http1.Request
	origin := forwarding.OriginOf(&none, netip.Addr{}, false, p.scheme, p.external)
	via, _ := forwarding.ViaOf(&none, pseudonym)
	lines, _ := forwarding.AppendCallback(nil, &none, &origin, via, requestID)
	return lines
}
