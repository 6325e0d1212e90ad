// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package interposer

import (
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// Verbs as RBAC calls them.
const (
	Get    = "get"
	List   = "list"
	Watch  = "watch"
	Create = "create"
	Update = "update"
	Patch  = "patch"
	Delete = "delete"
)

// Call is one request of a client.
type Call struct {
	// N counts the calls of one Proxy from 1.
	N int
	// Verb and Resource are as in RBAC: a status is the Subresource "status".
	// A request for no resource has neither.
	Verb, Resource, Subresource, Namespace, Name string
	// URI is the path and the query.
	URI string
	At  time.Time
	// Body is that of a write.
	Body []byte
	// Forwarded says that it was sent on to the API server.
	Forwarded bool
	// Code is the answer's status: the API server's, or that of a Refuse rule;
	// 0 when there is none (yet). Answered is when its head was there.
	Code     int
	Answered time.Time
}

// IsWrite says whether the call asks for a change.
func (c Call) IsWrite() bool {
	switch c.Verb {
	case Create, Update, Patch, Delete:
		return c.Resource != ""
	}
	return false
}

// Match chooses calls.
type Match func(Call) bool

// All matches every call.
func All(Call) bool { return true }

// Writes matches what asks for a change.
func Writes(c Call) bool { return c.IsWrite() }

// Watches matches watches.
func Watches(c Call) bool { return c.Verb == Watch }

// CallsOf matches calls by verb and resource; an empty one matches any.
func CallsOf(verb, resource string) Match {
	return func(c Call) bool {
		return (verb == "" || c.Verb == verb) && (resource == "" || c.Resource == resource)
	}
}

// Leases matches what keeps a leadership.
func Leases(c Call) bool { return c.Resource == "leases" }

// And matches what all match.
func And(matches ...Match) Match {
	return func(c Call) bool {
		for _, match := range matches {
			if !match(c) {
				return false
			}
		}
		return true
	}
}

// Not matches what the other does not.
func Not(match Match) Match { return func(c Call) bool { return !match(c) } }

var resolver = request.RequestInfoFactory{
	APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api"),
}

func (p *Proxy) begin(r *http.Request, body []byte) *Call {
	call := &Call{URI: r.URL.RequestURI(), At: time.Now(), Body: body}
	if info, err := resolver.NewRequestInfo(r); err == nil && info.IsResourceRequest {
		call.Verb, call.Resource, call.Subresource = info.Verb, info.Resource, info.Subresource
		call.Namespace, call.Name = info.Namespace, info.Name
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	call.N = len(p.calls) + 1
	p.calls = append(p.calls, call)
	return call
}

func (p *Proxy) forwarded(call *Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	call.Forwarded = true
}

func (p *Proxy) answered(call *Call, code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	call.Code, call.Answered = code, time.Now()
}

// Calls returns those that match, in the order in which they came.
func (p *Proxy) Calls(match Match) []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []Call
	for _, call := range p.calls {
		if match(*call) {
			found = append(found, *call)
		}
	}
	return found
}

// Count is the number of those that match.
func (p *Proxy) Count(match Match) int { return len(p.Calls(match)) }

// Since matches what came at or after a time.
func Since(t time.Time) Match { return func(c Call) bool { return !c.At.Before(t) } }
