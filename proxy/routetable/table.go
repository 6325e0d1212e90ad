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
	// Holds are sorted by namespace, name and UID. No claim is in two holds, or
	// in a route and a hold.
	Holds []Hold
}

// Settings hold for all routes of a table.
type Settings struct {
	// ListenerPort is the port on which the fleet is declared to listen.
	ListenerPort int32 `json:"listenerPort"`
	// HealthPath, when set, is a path at which the listener itself responds to the
	// health checks of load balancers.
	HealthPath string `json:"healthPath,omitempty"`
	// ProxyProtocol: each connection of the listener begins with a header of the
	// PROXY protocol, whose source is the peer.
	ProxyProtocol bool       `json:"proxyProtocol,omitempty"`
	Forwarding    Forwarding `json:"forwarding,omitzero"`
	Limits        Limits     `json:"limits,omitzero"`
	Pages         Pages      `json:"pages,omitzero"`
}

// Pages are what the proxies' own pages show; "" stands for nothing.
type Pages struct {
	// Product is a name of one line, SupportURL an https:// page or a mailto: address.
	Product    string `json:"product,omitempty"`
	SupportURL string `json:"supportURL,omitempty"`
}

// Limits bound a request, in KiB, and an instance; 0 stands for the default.
type Limits struct {
	HeaderKiB int32 `json:"headerKiB,omitempty"`
	TargetKiB int32 `json:"targetKiB,omitempty"`
	BodyKiB   int32 `json:"bodyKiB,omitempty"`
	// Connections is how many clients may be connected to one instance.
	Connections int32 `json:"connections,omitempty"`
	// InFlightPerRoute is how many requests of one route may wait for its backends
	// at one instance.
	InFlightPerRoute int32 `json:"inFlightPerRoute,omitempty"`
}

// The default limits.
const (
	DefaultHeaderKiB        = 64
	DefaultTargetKiB        = 32
	DefaultBodyKiB          = 1024
	DefaultConnections      = 10_000
	DefaultInFlightPerRoute = 256
)

// Forwarding defines the fields about the original request that the backends get.
type Forwarding struct {
	// TrustedProxies are the networks (CIDR notation, no host bits) whose
	// statements about the client (X-Forwarded-*, Forwarded, X-Request-Id) are
	// kept.
	TrustedProxies []string `json:"trustedProxies,omitempty"`
	// ExternalScheme is what clients use as far as no trusted proxy states it:
	// https (also when it is empty) or http.
	ExternalScheme string `json:"externalScheme,omitempty"`
	// HostFrom is where a trusted proxy puts the Host that the client used.
	HostFrom HostFrom `json:"hostFrom,omitempty"`
}

// Scheme returns ExternalScheme, or its default.
func (f *Forwarding) Scheme() string { return cmp.Or(f.ExternalScheme, "https") }

// HostFrom names a field that holds the Host that the client used.
type HostFrom string

// The fields. FromHost also stands for an empty value.
const (
	FromHost          HostFrom = "Host"
	FromForwardedHost HostFrom = "XForwardedHost"
)

// Protocol is the protocol whose responses a callback receives.
type Protocol string

// The protocols.
const (
	OAuth2 Protocol = "OAuth2"
	OIDC   Protocol = "OIDC"
	SAML   Protocol = "SAML"
	Opaque Protocol = "Opaque"
)

// PathType defines how Callback.Path is compared.
type PathType string

// The path types: Exact compares all bytes, Prefix whole segments.
const (
	Exact  PathType = "Exact"
	Prefix PathType = "Prefix"
)

// AfterSunset defines what happens to callbacks after the sunset.
type AfterSunset string

// The values: Reject responds with 410, Serve keeps delivering.
const (
	Reject AfterSunset = "Reject"
	Serve  AfterSunset = "Serve"
)

// Route is one accepted CallbackRoute.
type Route struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// UID and Generation are the object's: they distinguish a changed route from an
	// unchanged one, and a new one of the same name from its predecessor.
	UID        string `json:"uid"`
	Generation int64  `json:"generation"`

	Hostnames []string   `json:"hostnames"`
	Protocol  Protocol   `json:"protocol"`
	Callbacks []Callback `json:"callbacks"`
	Backends  []Backend  `json:"backends"`
	// Ownership is nil when every callback goes to the primary backend.
	Ownership *Ownership `json:"ownership,omitempty"`
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

// Primary returns the backend with a weight above 0: it gets the callbacks.
// Validate guarantees that there is exactly one.
func (r *Route) Primary() *Backend {
	for i := range r.Backends {
		if r.Backends[i].Weight > 0 {
			return &r.Backends[i]
		}
	}
	return nil
}

// Backend returns the backend with a name, nil when there is none.
func (r *Route) Backend(name string) *Backend {
	for i := range r.Backends {
		if r.Backends[i].Name == name {
			return &r.Backends[i]
		}
	}
	return nil
}

// Callback is one registered path of a route.
type Callback struct {
	Name     string   `json:"name"`
	PathType PathType `json:"pathType"`
	// Path of type Exact holds any visible ASCII but ? and #, and is compared
	// with the raw bytes of a request's path.
	Path string `json:"path"`
	// Query is what else a request must have; path type Exact only.
	Query Query `json:"query,omitempty"`
	// PathProbe defines whether the backends are probed for the path.
	PathProbe bool `json:"pathProbe,omitempty"`
	// Methods are those that an Opaque route takes; empty: GET, HEAD and POST.
	Methods []string `json:"methods,omitempty"`
}

// Hold keeps claims of a CallbackRoute that was accepted and is not any more.
// A request for one of them gets 503 and reaches no backend, no route of another
// namespace and no application behind a sidecar.
type Hold struct {
	// Namespace, Name and UID are those of the CallbackRoute.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Claims are sorted by host, path type, path and query.
	Claims []Claim `json:"claims"`
	// ReleaseTime is when the claims of a deleted route are released, in UTC and
	// whole seconds. It is zero while the route exists: then only a change of an
	// object releases them. The controller releases; a proxy holds what its table
	// contains.
	ReleaseTime time.Time `json:"releaseTime,omitzero"`
}

// ID names the CallbackRoute in logs and metrics: namespace/name.
func (h *Hold) ID() string { return h.Namespace + "/" + h.Name }

// Claim is one path on one host, or the part of its requests that have a Query.
// At most one route or hold of a table has it.
type Claim struct {
	Host     string   `json:"host"`
	PathType PathType `json:"pathType"`
	Path     string   `json:"path"`
	Query    Query    `json:"query,omitempty"`
}

// Compare orders claims by host, path type, path and query.
func (c Claim) Compare(other Claim) int {
	return cmp.Or(cmp.Compare(c.Host, other.Host), cmp.Compare(c.PathType, other.PathType), cmp.Compare(c.Path, other.Path),
		cmp.Compare(c.Query, other.Query))
}

// claimOn returns the claim of a callback on one host.
func (c *Callback) claimOn(host string) Claim {
	return Claim{Host: host, PathType: c.PathType, Path: c.Path, Query: c.Query}
}

// Claims returns the claims of the route: every callback on every host.
func (r *Route) Claims() []Claim {
	claims := make([]Claim, 0, len(r.Hostnames)*len(r.Callbacks))
	for _, host := range r.Hostnames {
		for i := range r.Callbacks {
			claims = append(claims, r.Callbacks[i].claimOn(host))
		}
	}
	return claims
}

// compareHolds is the order of holds in a table. One name can have several, of
// routes that were deleted and created again.
func compareHolds(a, b Hold) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
}

// compareRoutes is the order of routes in a table.
func compareRoutes(a, b Route) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Backend is one service that may receive the callbacks.
type Backend struct {
	Name string `json:"name"`
	// Weight is above 0 for exactly one backend of a route.
	Weight int32 `json:"weight"`
	// Addresses are what to dial, as IP:port, sorted. None means that the
	// backend could not be resolved: its callbacks get the honest 503.
	Addresses []string `json:"addresses,omitempty"`
	// Paths replace the request's path for some Exact callbacks. In the order of
	// the callbacks of the route.
	Paths []BackendPath `json:"paths,omitempty"`
	// Host replaces the request's Host when it is set.
	Host string `json:"host,omitempty"`
	// Failover is the backend that gets the callbacks while no connection to this
	// one can be made; nil: none.
	Failover *Failover `json:"failover,omitempty"`
	// Check is how the instances check the backend; nil: its health follows from
	// deliveries only.
	Check *HealthCheck `json:"check,omitempty"`
}

// BackendPath is the path of one callback at a backend.
type BackendPath struct {
	Callback string `json:"callback"`
	Path     string `json:"path"`
}

// Failover names the replacement of a backend that cannot be reached.
type Failover struct {
	// Backend is the name of another backend of the route, of weight 0.
	Backend string `json:"backend"`
}

// PathOf returns the path that replaces the request's for a callback; empty when
// the request's own is kept.
func (b *Backend) PathOf(callback string) string {
	for i := range b.Paths {
		if b.Paths[i].Callback == callback {
			return b.Paths[i].Path
		}
	}
	return ""
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
