// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package routetable is the contract between the controller, which compiles a
// Table, and the proxies, which serve it. In: a Table; out: the payloads of
// CallbackProxyConfig objects, and back. Everything a proxy must refuse is
// refused here, so both sides agree on it. Pure, stdlib only.
package routetable

import (
	"cmp"
	"time"
)

// Table is everything that one fleet of proxies serves.
type Table struct {
	Settings Settings
	// Routes are sorted by namespace and name.
	Routes []Route
}

// Settings hold for all routes of a table.
type Settings struct {
	// ListenerPort is the port on which the fleet is declared to listen.
	ListenerPort int32 `json:"listenerPort"`
	// TrustedProxies are the networks (CIDR notation, no host bits) whose
	// X-Forwarded-For and X-Forwarded-Proto are kept.
	TrustedProxies []string `json:"trustedProxies,omitempty"`
}

// Protocol is the protocol whose answers a callback receives.
type Protocol string

// The protocols.
const (
	OAuth2 Protocol = "OAuth2"
	OIDC   Protocol = "OIDC"
	SAML   Protocol = "SAML"
	Opaque Protocol = "Opaque"
)

// PathType says how Route.Path is compared.
type PathType string

// The path types: Exact compares all bytes, Prefix whole segments.
const (
	Exact  PathType = "Exact"
	Prefix PathType = "Prefix"
)

// AfterSunset says what happens to callbacks after the sunset.
type AfterSunset string

// The values: Reject answers 410, Warn keeps serving.
const (
	Reject AfterSunset = "Reject"
	Warn   AfterSunset = "Warn"
)

// Route is one callback.
type Route struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// UID and Generation are the object's: they tell a changed route from an
	// unchanged one, and a new one of the same name from its predecessor.
	UID        string `json:"uid"`
	Generation int64  `json:"generation"`

	Hostnames []string  `json:"hostnames"`
	Protocol  Protocol  `json:"protocol"`
	PathType  PathType  `json:"pathType"`
	Path      string    `json:"path"`
	Backends  []Backend `json:"backends"`
	// Preflight says whether backends are asked for the callback's path.
	Preflight bool `json:"preflight,omitempty"`
	// TimeoutSeconds bounds one delivery, in seconds.
	TimeoutSeconds int32 `json:"timeoutSeconds"`
	// Deprecation (zero: none) and Sunset are UTC, whole seconds.
	Deprecation time.Time   `json:"deprecation,omitzero"`
	Sunset      time.Time   `json:"sunset"`
	AfterSunset AfterSunset `json:"afterSunset"`
	// HeldUntil, when it is after Sunset, is how long callbacks are served past
	// it all the same. UTC, whole seconds.
	HeldUntil time.Time `json:"heldUntil,omitzero"`
	InfoURL   string    `json:"infoURL,omitempty"`
}

// ID names a route in logs and metrics: namespace/name.
func (r *Route) ID() string { return r.Namespace + "/" + r.Name }

// Active returns the backend that is declared to get the callbacks: the one
// with the highest weight. Validate guarantees that there is one.
func (r *Route) Active() *Backend {
	var active *Backend
	for i := range r.Backends {
		if b := &r.Backends[i]; b.Weight > 0 && (active == nil || b.Weight > active.Weight) {
			active = b
		}
	}
	return active
}

// compareRoutes is the order of routes in a table.
func compareRoutes(a, b Route) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Backend is one service that may receive the callback.
type Backend struct {
	Name   string `json:"name"`
	Weight int32  `json:"weight"`
	// Addresses are what to dial, as IP:port, sorted. None means that the
	// backend could not be resolved: its callbacks get the honest 503.
	Addresses []string `json:"addresses,omitempty"`
	// Path replaces the request's path when it is set.
	Path string `json:"path,omitempty"`
	// Host replaces the request's Host when it is set.
	Host string `json:"host,omitempty"`
	// Check is how the instances look at the backend; nil: only by what they
	// deliver.
	Check *HealthCheck `json:"check,omitempty"`
}

// Version orders configs. A proxy never goes back in it.
type Version struct {
	// Epoch grows with each leadership of a controller.
	Epoch int64 `json:"epoch"`
	// Generation grows with each published change.
	Generation int64 `json:"generation"`
}

// Compare returns -1, 0 or 1: by epoch, then by generation.
func (v Version) Compare(other Version) int {
	return cmp.Or(cmp.Compare(v.Epoch, other.Epoch), cmp.Compare(v.Generation, other.Generation))
}
