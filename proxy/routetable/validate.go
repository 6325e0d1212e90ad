// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// validate.go: the rules of a table that may be served.

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The maxima of a route, the same as the CRD's.
const (
	MaxHostnames = 16
	MaxCallbacks = 16
	MaxBackends  = 8
	// MaxAddresses bounds what a headless Service contributes.
	MaxAddresses      = 64
	maxNameBytes      = 253
	maxPathBytes      = 1024
	maxInfoURLBytes   = 2048
	maxTimeoutSeconds = 300
	maxWeight         = 1_000_000
)

// Validate refuses a table that must not be served. The controller calls it
// before it publishes, a proxy before it adopts.
func (t *Table) Validate() error {
	if err := t.Settings.validate(); err != nil {
		return err
	}
	ids := make(map[string]struct{}, len(t.Routes))
	claims := make(map[Claim]string, len(t.Routes))
	for i := range t.Routes {
		route := &t.Routes[i]
		if err := route.Validate(); err != nil {
			return fmt.Errorf("route %s: %w", route.ID(), err)
		}
		if _, twice := ids[route.ID()]; twice {
			return fmt.Errorf("route %s is there twice", route.ID())
		}
		ids[route.ID()] = struct{}{}
		for _, claim := range route.Claims() {
			if other, taken := claims[claim]; taken {
				return fmt.Errorf("routes %s and %s claim the same callback", other, route.ID())
			}
			claims[claim] = route.ID()
		}
	}
	return validateHolds(t.Holds, claims)
}

func validateHolds(holds []Hold, claims map[Claim]string) error {
	type key struct{ id, uid string }
	seen := make(map[key]struct{}, len(holds))
	for i := range holds {
		hold := &holds[i]
		if err := hold.validate(); err != nil {
			return fmt.Errorf("hold of %s: %w", hold.ID(), err)
		}
		k := key{hold.ID(), hold.UID}
		if _, twice := seen[k]; twice {
			return fmt.Errorf("hold of %s is there twice", hold.ID())
		}
		seen[k] = struct{}{}
		for _, claim := range hold.Claims {
			if other, taken := claims[claim]; taken {
				return fmt.Errorf("%s and the hold of %s have the same claim", other, hold.ID())
			}
			claims[claim] = hold.ID()
		}
	}
	return nil
}

func (h *Hold) validate() error {
	if err := checkIdentity(h.Namespace, h.Name, h.UID); err != nil {
		return err
	}
	if len(h.Claims) == 0 || len(h.Claims) > MaxHostnames*MaxCallbacks {
		return fmt.Errorf("%d claims, 1 to %d are allowed", len(h.Claims), MaxHostnames*MaxCallbacks)
	}
	for i := range h.Claims {
		claim := &h.Claims[i]
		if i > 0 && h.Claims[i-1].Compare(*claim) >= 0 {
			return errors.New("claims are not sorted")
		}
		if canonical, ok := CanonicalHost(claim.Host); !ok || canonical != claim.Host {
			return fmt.Errorf("hostname %q is not an exact DNS name in lower case", claim.Host)
		}
		if err := checkCallbackPath(claim.PathType, claim.Path, claim.Query); err != nil {
			return err
		}
	}
	if !isUTCSecond(h.ReleaseTime) {
		return errors.New("times must be in UTC, in whole seconds")
	}
	return nil
}

// maxMethods bounds the methods of a callback.
const maxMethods = 16

// checkMethods refuses methods that a callback cannot have.
func checkMethods(p Protocol, methods []string) error {
	if len(methods) > 0 && p != Opaque {
		return fmt.Errorf("methods are for protocol %s", Opaque)
	}
	if len(methods) > maxMethods {
		return fmt.Errorf("%d methods, at most %d are allowed", len(methods), maxMethods)
	}
	for i, method := range methods {
		if method == "" || len(method) > 32 || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" || method == "CONNECT" || method == "TRACE" {
			return fmt.Errorf("method %q cannot be served", method)
		}
		if i > 0 && methods[i-1] >= method {
			return errors.New("methods are not sorted")
		}
	}
	return nil
}

// Validate refuses a route that must not be served.
func (r *Route) Validate() error {
	for _, rule := range []func(*Route) error{
		checkRouteIdentity, checkHostnames, checkCallbacks, checkBackends, checkOwnership, checkTimes, checkInfoURL,
	} {
		if err := rule(r); err != nil {
			return err
		}
	}
	return nil
}

func checkRouteIdentity(r *Route) error {
	if r.Generation < 0 {
		return errors.New("generation must not be negative")
	}
	return checkIdentity(r.Namespace, r.Name, r.UID)
}

// checkIdentity limits what stands in logs and metrics to what Kubernetes allows
// in names.
func checkIdentity(namespace, name, uid string) error {
	if !isName(namespace) || !isName(name) {
		return fmt.Errorf("namespace and name have 1 to %d lower-case letters, digits, dots and hyphens", maxNameBytes)
	}
	if uid != "" && !isName(uid) {
		return fmt.Errorf("a uid has at most %d lower-case letters, digits, dots and hyphens", maxNameBytes)
	}
	return nil
}

func checkHostnames(r *Route) error {
	if len(r.Hostnames) == 0 || len(r.Hostnames) > MaxHostnames {
		return fmt.Errorf("%d hostnames, 1 to %d are allowed", len(r.Hostnames), MaxHostnames)
	}
	seen := make(map[string]struct{}, len(r.Hostnames))
	for _, host := range r.Hostnames {
		if canonical, ok := CanonicalHost(host); !ok || canonical != host {
			return fmt.Errorf("hostname %q is not an exact DNS name in lower case", host)
		}
		if _, twice := seen[host]; twice {
			return fmt.Errorf("hostname %q is there twice", host)
		}
		seen[host] = struct{}{}
	}
	return nil
}

func checkCallbacks(r *Route) error {
	switch r.Protocol {
	case OAuth2, OIDC, SAML, Opaque:
	default:
		return fmt.Errorf("protocol %q is not known", r.Protocol)
	}
	if len(r.Callbacks) == 0 || len(r.Callbacks) > MaxCallbacks {
		return fmt.Errorf("%d callbacks, 1 to %d are allowed", len(r.Callbacks), MaxCallbacks)
	}
	names := make(map[string]struct{}, len(r.Callbacks))
	for i := range r.Callbacks {
		c := &r.Callbacks[i]
		if _, twice := names[c.Name]; twice || !isName(c.Name) {
			return fmt.Errorf("callback name %q is no name or there twice", c.Name)
		}
		names[c.Name] = struct{}{}
		if err := checkCallbackPath(c.PathType, c.Path, c.Query); err != nil {
			return fmt.Errorf("callback %s: %w", c.Name, err)
		}
		if err := checkDistinct(c, r.Callbacks[:i]); err != nil {
			return err
		}
		if err := checkMethods(r.Protocol, c.Methods); err != nil {
			return fmt.Errorf("callback %s: %w", c.Name, err)
		}
		if c.PathProbe && (r.Protocol == Opaque || c.PathType != Exact) {
			return fmt.Errorf("callback %s: a path probe needs a protocol and path type Exact", c.Name)
		}
	}
	return nil
}

func checkCallbackPath(pathType PathType, path string, query Query) error {
	switch pathType {
	case Exact:
		if err := query.check(); err != nil {
			return err
		}
		return checkRegisteredPath(path)
	case Prefix:
		if query != "" {
			return errors.New("a query needs path type Exact")
		}
		if path != "/" && strings.HasSuffix(path, "/") {
			return errors.New("a Prefix path must not end with /")
		}
		return checkPath(path)
	}
	return fmt.Errorf("path type %q is not known", pathType)
}

// checkRegisteredPath accepts the path part of a URL in any spelling, escapes
// included: visible ASCII without ? and #.
func checkRegisteredPath(path string) error {
	if len(path) == 0 || len(path) > maxPathBytes || path[0] != '/' {
		return fmt.Errorf("a path begins with / and has at most %d bytes", maxPathBytes)
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c > '~' || c == '?' || c == '#' {
			return fmt.Errorf("byte %q is not allowed in a path", c)
		}
	}
	return nil
}

// checkPath accepts the canonical spelling of a path only.
func checkPath(path string) error {
	if len(path) == 0 || len(path) > maxPathBytes || path[0] != '/' {
		return fmt.Errorf("a path begins with / and has at most %d bytes", maxPathBytes)
	}
	for i := range len(path) {
		if c := path[i]; !isAlphanumeric(c) && !strings.ContainsRune("/._~!$&()*+,=:@-", rune(c)) {
			return fmt.Errorf("byte %q is not allowed in a path", c)
		}
	}
	if strings.Contains(path, "//") {
		return errors.New("a path must not contain //")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return errors.New("a path must not contain a . or .. segment")
		}
	}
	return nil
}

func checkBackends(r *Route) error {
	if len(r.Backends) == 0 || len(r.Backends) > MaxBackends {
		return fmt.Errorf("%d backends, 1 to %d are allowed", len(r.Backends), MaxBackends)
	}
	names := make(map[string]struct{}, len(r.Backends))
	primaries := 0
	for i := range r.Backends {
		b := &r.Backends[i]
		if _, twice := names[b.Name]; twice || !isName(b.Name) {
			return fmt.Errorf("backend name %q is no name or there twice", b.Name)
		}
		names[b.Name] = struct{}{}
		if b.Weight > 0 {
			primaries++
		}
		for _, check := range []func() error{b.validate, func() error { return checkBackendPaths(r, b) }, func() error { return checkFailover(r, b) }} {
			if err := check(); err != nil {
				return fmt.Errorf("backend %s: %w", b.Name, err)
			}
		}
	}
	if primaries != 1 {
		return fmt.Errorf("%d backends have a weight above 0, exactly one must", primaries)
	}
	return nil
}

// checkBackendPaths accepts replacements of Exact callbacks in the order of the
// callbacks.
func checkBackendPaths(r *Route, b *Backend) error {
	next := 0
	for i := range b.Paths {
		p := &b.Paths[i]
		at := slices.IndexFunc(r.Callbacks[next:], func(c Callback) bool { return c.Name == p.Callback })
		if at < 0 {
			return fmt.Errorf("path of callback %q: not a callback of the route, or not in their order", p.Callback)
		}
		if r.Callbacks[next+at].PathType != Exact {
			return fmt.Errorf("path of callback %s: needs path type Exact", p.Callback)
		}
		next += at + 1
		if err := checkRegisteredPath(p.Path); err != nil {
			return fmt.Errorf("path of callback %s: %w", p.Callback, err)
		}
	}
	return nil
}

func checkFailover(r *Route, b *Backend) error {
	if b.Failover == nil {
		return nil
	}
	if target := r.Backend(b.Failover.Backend); target == nil || target == b || target.Weight > 0 {
		return fmt.Errorf("failover %q is not another backend of weight 0", b.Failover.Backend)
	}
	return nil
}

func (b *Backend) validate() error {
	if b.Weight < 0 || b.Weight > maxWeight {
		return fmt.Errorf("weight %d is out of range", b.Weight)
	}
	if len(b.Addresses) > MaxAddresses {
		return fmt.Errorf("%d addresses, at most %d are allowed", len(b.Addresses), MaxAddresses)
	}
	if !slices.IsSorted(b.Addresses) {
		return errors.New("addresses are not sorted")
	}
	for _, address := range b.Addresses {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || ap.String() != address || ap.Port() == 0 {
			return fmt.Errorf("address %q is not IP:port", address)
		}
		if err := CheckAddress(ap.Addr()); err != nil {
			return err
		}
	}
	if b.Host != "" {
		if _, ok := CanonicalHost(b.Host); !ok {
			return fmt.Errorf("host %q is not a host", b.Host)
		}
	}
	if b.Check != nil {
		if err := b.Check.validate(); err != nil {
			return err
		}
	}
	return nil
}

func checkTimes(r *Route) error {
	if r.TimeoutSeconds < 1 || r.TimeoutSeconds > maxTimeoutSeconds {
		return fmt.Errorf("timeout of %d s, 1 to %d are allowed", r.TimeoutSeconds, maxTimeoutSeconds)
	}
	if r.AfterSunset != Reject && r.AfterSunset != Serve {
		return fmt.Errorf("after sunset %q is not known", r.AfterSunset)
	}
	if r.Sunset.IsZero() || !isUTCSecond(r.Sunset) || !isUTCSecond(r.Deprecation) {
		return errors.New("times must be set, in UTC, in whole seconds")
	}
	if !isUTCSecond(r.HeldUntil) {
		return errors.New("times must be in UTC, in whole seconds")
	}
	if r.Deprecation.After(r.Sunset) {
		return errors.New("deprecation is after sunset")
	}
	return nil
}

func isUTCSecond(t time.Time) bool {
	return t.Nanosecond() == 0 && t.Location() == time.UTC
}

// checkInfoURL keeps what may stand in a header and in a page as it is.
func checkInfoURL(r *Route) error {
	switch {
	case r.InfoURL == "":
		return nil
	case len(r.InfoURL) > maxInfoURLBytes:
		return fmt.Errorf("an info URL has at most %d bytes", maxInfoURLBytes)
	}
	return checkHTTPS("an info URL", r.InfoURL)
}

func checkHTTPS(what, url string) error {
	rest, ok := strings.CutPrefix(url, "https://")
	if !ok || rest == "" || !isAlphanumeric(rest[0]) {
		return fmt.Errorf("%s begins with https:// and a host", what)
	}
	for i := range len(rest) {
		if c := rest[i]; !isAlphanumeric(c) && !strings.ContainsRune("/._~!$&()*+,;=:@%?#-", rune(c)) {
			return fmt.Errorf("byte %q is not allowed in %s", c, what)
		}
	}
	return nil
}
