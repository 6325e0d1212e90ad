// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

// backends.go builds the table's entry of a route and finds the addresses of its
// backends.

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// compileEntry builds the table's entry of a route. A backend that cannot be
// resolved stays in it without an address: its callbacks then get 503 and reach
// no other backend.
func (c *candidate) compileEntry() (*routetable.Route, Finding) {
	object := c.route.Object
	spec := &object.Spec
	entry := &routetable.Route{
		Namespace:      object.Namespace,
		Name:           object.Name,
		UID:            string(object.UID),
		Generation:     object.Generation,
		Protocol:       routetable.Protocol(spec.Protocol),
		Callbacks:      callbacksOf(spec),
		Ownership:      ownershipOf(spec),
		TimeoutSeconds: spec.Timeouts.RequestSeconds,
		Sunset:         spec.SunsetTime.UTC(),
		AfterSunset:    routetable.AfterSunset(spec.AfterSunset),
		InfoURL:        spec.InfoURL,
	}
	if spec.DeprecationTime != nil {
		entry.Deprecation = spec.DeprecationTime.UTC()
	}
	if _, valid := SunsetHoldReason(object); valid && c.latestSunset().After(entry.Sunset) {
		entry.HeldUntil = c.latestSunset()
	}
	for _, host := range spec.Hostnames {
		entry.Hostnames = append(entry.Hostnames, string(host))
	}
	slices.Sort(entry.Hostnames)

	refs := c.resolveBackends(entry)
	return entry, refs
}

func callbacksOf(spec *callbackv1alpha1.CallbackRouteSpec) []routetable.Callback {
	callbacks := make([]routetable.Callback, len(spec.Callbacks))
	for i := range spec.Callbacks {
		declared := &spec.Callbacks[i]
		callbacks[i] = routetable.Callback{
			Name:      declared.Name,
			PathType:  routetable.PathType(cmp.Or(declared.PathType, callbackv1alpha1.PathExact)),
			Path:      string(declared.Path),
			Query:     queryOf(declared),
			PathProbe: declared.PathProbe == callbackv1alpha1.PathProbeEnabled,
			Methods:   methodsOf(declared),
		}
	}
	return callbacks
}

// queryOf returns the query parameters in the spelling of the table.
func queryOf(c *callbackv1alpha1.Callback) routetable.Query {
	parameters := make([]routetable.Parameter, len(c.Query))
	for i, p := range c.Query {
		parameters[i] = routetable.Parameter{Name: p.Name, Value: p.Value}
	}
	return routetable.QueryOf(parameters)
}

// methodsOf returns the methods in the order of the table.
func methodsOf(c *callbackv1alpha1.Callback) []string {
	var methods []string
	for _, method := range c.Methods {
		methods = append(methods, string(method))
	}
	slices.Sort(methods)
	return methods
}

// resolveBackends adds the backends to the entry and computes the condition
// ResolvedRefs. Its reason is that of the first backend that is not resolved.
func (c *candidate) resolveBackends(entry *routetable.Route) Finding {
	declared := c.route.Object.Spec.Backends
	refs := True(callbackv1alpha1.ReasonResolvedRefs, "every backend exists and may be used")
	var broken []string
	for i := range declared {
		backend, problem := c.resolve(&declared[i])
		entry.Backends = append(entry.Backends, backend)
		if problem == nil {
			continue
		}
		if len(broken) == 0 {
			refs.OK, refs.Reason = false, problem.Reason
		}
		broken = append(broken, "backend "+backend.Name+": "+problem.Message)
	}
	if len(broken) > 0 {
		refs.Message = strings.Join(broken, "; ")
	}
	return refs
}

// resolve builds the table's entry of a backend. The Finding is nil when the
// backend is resolved.
func (c *candidate) resolve(b *callbackv1alpha1.Backend) (routetable.Backend, *Finding) {
	key := types.NamespacedName{
		Namespace: cmp.Or(string(b.Service.Namespace), c.route.Object.Namespace), Name: string(b.Service.Name),
	}
	out := routetable.Backend{Name: b.Name, Weight: ptr.Deref(b.Weight, 1), Paths: c.pathsOf(b)}
	if b.Failover != nil {
		out.Failover = &routetable.Failover{Backend: b.Failover.Backend}
	}
	if b.HostHeader == callbackv1alpha1.HostHeaderBackend {
		out.Host = serviceHost(key, b.Service.Port)
	}
	out.Check = healthCheck(b.HealthCheck, serviceHost(key, b.Service.Port))

	service, port := c.lookup(key, b.Service.Port)
	if port == nil && !isExternalName(service) {
		return out, c.unresolved(key, b.Service.Port)
	}
	if port != nil && isUnsupported(port.AppProtocol) {
		return out, refuse(callbackv1alpha1.ReasonUnsupportedProtocol,
			"port %d of Service %s has appProtocol %s, and the proxy supports only HTTP/1.1 without TLS to backends: use a port that does so too, or correct its appProtocol",
			port.Port, key, *port.AppProtocol)
	}
	addresses, problem := c.addresses(service, port)
	if problem != "" {
		return out, refuse(callbackv1alpha1.ReasonInvalidBackend, "Service %s cannot be a backend: %s", key, problem)
	}
	out.Addresses = addresses
	if len(addresses) == 0 || c.hasNoEndpoints(key, port) {
		if c.noEndpoints == nil {
			c.noEndpoints = map[string]struct{}{}
		}
		c.noEndpoints[b.Name] = struct{}{}
	}
	return out, nil
}

// pathsOf returns the path replacements of a backend, in the order of the route's
// callbacks.
func (c *candidate) pathsOf(b *callbackv1alpha1.Backend) []routetable.BackendPath {
	var paths []routetable.BackendPath
	for _, callback := range c.route.Object.Spec.Callbacks {
		for _, p := range b.Paths {
			if p.Callback == callback.Name {
				paths = append(paths, routetable.BackendPath{Callback: p.Callback, Path: string(p.Path)})
			}
		}
	}
	return paths
}

// The defaults of a health check.
const (
	defaultCheckInterval    = 5
	defaultCheckTimeout     = 2
	defaultCheckUnhealthy   = 3
	defaultCheckHealthyRise = 2
)

// healthCheck fills in the defaults. All routes use the same Host for the same
// Service, so that an instance checks it once for all of them.
func healthCheck(declared *callbackv1alpha1.HealthCheck, host string) *routetable.HealthCheck {
	if declared == nil {
		return nil
	}
	check := &routetable.HealthCheck{
		Path:               string(declared.Path),
		IntervalSeconds:    cmp.Or(declared.IntervalSeconds, defaultCheckInterval),
		TimeoutSeconds:     cmp.Or(declared.TimeoutSeconds, defaultCheckTimeout),
		UnhealthyThreshold: cmp.Or(declared.UnhealthyThreshold, defaultCheckUnhealthy),
		HealthyThreshold:   cmp.Or(declared.HealthyThreshold, defaultCheckHealthyRise),
	}
	if check.Path != "" {
		check.Host = host
	}
	return check
}

// hasNoEndpoints reports whether the Service has EndpointSlices and none of them
// holds a ready endpoint for a port. A Service without slices is not judged: its
// endpoints may be kept by other means.
func (c *candidate) hasNoEndpoints(key types.NamespacedName, port *corev1.ServicePort) bool {
	found := c.snapshot.EndpointSlices[key]
	for i := range found {
		if slicePort(&found[i], port.Name) != 0 && len(readyAddresses(&found[i])) > 0 {
			return false
		}
	}
	return len(found) > 0
}

// lookup returns the Service and its port when it exists and may be used.
func (c *candidate) lookup(key types.NamespacedName, number int32) (*corev1.Service, *corev1.ServicePort) {
	service := c.snapshot.Services[key]
	if service == nil || key.Namespace != c.route.Object.Namespace && !c.granted(key) {
		return nil, nil
	}
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		if port.Port == number && (port.Protocol == corev1.ProtocolTCP || port.Protocol == "") {
			return service, port
		}
	}
	return service, nil
}

func isExternalName(service *corev1.Service) bool {
	return service != nil && service.Spec.Type == corev1.ServiceTypeExternalName
}

// isUnsupported reports whether a port's appProtocol is one that the proxy does not
// support: TLS or HTTP/2. It never falls back to plain HTTP/1.1 there.
func isUnsupported(appProtocol *string) bool {
	switch strings.ToLower(strings.TrimPrefix(ptr.Deref(appProtocol, ""), "kubernetes.io/")) {
	case "https", "wss", "tls", "h2", "h2c", "http2", "grpc":
		return true
	}
	return false
}

// unresolved describes a backend without a Service. For another namespace one
// message covers all causes, so that it does not disclose what exists there.
func (c *candidate) unresolved(key types.NamespacedName, port int32) *Finding {
	own := c.route.Object.Namespace
	if key.Namespace == own {
		return refuse(callbackv1alpha1.ReasonBackendNotFound,
			"Service %s with TCP port %d does not exist: create it, or correct the backend's service", key, port)
	}
	return refuse(callbackv1alpha1.ReasonRefNotPermitted,
		"Service %s with TCP port %d does not exist or may not be used from namespace %s: "+
			"create it, and in namespace %s a ReferenceGrant from callbackproxy.io CallbackRoute in %s to Service",
		key, port, own, key.Namespace, own)
}

// granted reports whether a ReferenceGrant in the Service's namespace permits the
// route to use it.
func (c *candidate) granted(key types.NamespacedName) bool {
	for i := range c.snapshot.Grants {
		grant := &c.snapshot.Grants[i]
		if grant.Namespace != key.Namespace || !grant.DeletionTimestamp.IsZero() {
			continue
		}
		from := slices.ContainsFunc(grant.Spec.From, func(f gatewayv1.ReferenceGrantFrom) bool {
			return string(f.Group) == callbackv1alpha1.SchemeGroupVersion.Group && f.Kind == "CallbackRoute" &&
				string(f.Namespace) == c.route.Object.Namespace
		})
		to := slices.ContainsFunc(grant.Spec.To, func(t gatewayv1.ReferenceGrantTo) bool {
			return t.Group == "" && t.Kind == "Service" && (t.Name == nil || *t.Name == "" || string(*t.Name) == key.Name)
		})
		if from && to {
			return true
		}
	}
	return false
}

// addresses returns what to dial for a Service's port: its cluster IP, which the
// cluster balances, or the ready endpoints of a headless Service. port may be nil
// for type ExternalName only.
func (c *candidate) addresses(service *corev1.Service, port *corev1.ServicePort) (addresses []string, problem string) {
	switch {
	case isExternalName(service):
		return nil, "type ExternalName would let its owner send callbacks anywhere: use a Service with a cluster IP"
	case service.Spec.ClusterIP == "":
		return nil, "it has no cluster IP yet"
	case service.Spec.ClusterIP == corev1.ClusterIPNone:
		return c.endpointAddresses(service, port)
	}
	addr, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil {
		return nil, "its cluster IP is not an address"
	}
	if problem := c.refuseAddress(addr); problem != "" {
		return nil, problem
	}
	return []string{netip.AddrPortFrom(addr, uint16(port.Port)).String()}, "" //nolint:gosec // the API bounds ports
}

// refuseAddress returns the reason why an address is never dialled; empty when it
// may be.
func (c *candidate) refuseAddress(addr netip.Addr) string {
	inner, embedded := routetable.Embedded(addr)
	for _, forbidden := range c.snapshot.Forbidden {
		if forbidden = forbidden.Unmap(); forbidden == addr || embedded && forbidden == inner {
			return "it is the API server"
		}
	}
	if err := routetable.CheckAddress(addr); err != nil {
		return err.Error()
	}
	return ""
}

// endpointAddresses returns the ready endpoints of a headless Service, sorted. It
// leaves out names (FQDN slices) and addresses that are never dialled; the problem
// is set when that leaves none.
func (c *candidate) endpointAddresses(service *corev1.Service, port *corev1.ServicePort) (addresses []string, problem string) {
	var refused []string
	key := types.NamespacedName{Namespace: service.Namespace, Name: service.Name}
	for i := range c.snapshot.EndpointSlices[key] {
		slice := &c.snapshot.EndpointSlices[key][i]
		number := slicePort(slice, port.Name)
		if slice.AddressType == discoveryv1.AddressTypeFQDN || number == 0 {
			continue
		}
		for _, text := range readyAddresses(slice) {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				continue
			}
			if why := c.refuseAddress(addr); why != "" {
				refused = append(refused, why)
				continue
			}
			addresses = append(addresses, netip.AddrPortFrom(addr.Unmap(), number).String())
		}
	}
	if len(addresses) == 0 && len(refused) > 0 {
		return nil, "none of its endpoints may be dialled: " + slices.Min(refused)
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	return addresses[:min(len(addresses), routetable.MaxAddresses)], ""
}

// readyAddresses returns the addresses of ready endpoints. Unknown readiness
// counts as ready, as the Kubernetes API defines it.
func readyAddresses(slice *discoveryv1.EndpointSlice) []string {
	var addresses []string
	for _, endpoint := range slice.Endpoints {
		if ptr.Deref(endpoint.Conditions.Ready, true) {
			addresses = append(addresses, endpoint.Addresses...)
		}
	}
	return addresses
}

func slicePort(slice *discoveryv1.EndpointSlice, name string) uint16 {
	for _, p := range slice.Ports {
		if ptr.Deref(p.Name, "") == name && p.Port != nil && *p.Port > 0 && *p.Port < 1<<16 {
			return uint16(*p.Port)
		}
	}
	return 0
}

func serviceHost(key types.NamespacedName, port int32) string {
	host := key.Name + "." + key.Namespace + ".svc"
	if port == 80 {
		return host
	}
	return host + ":" + strconv.Itoa(int(port))
}
