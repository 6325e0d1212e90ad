// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// compileEntry builds the table's entry of a route. A backend that cannot be
// resolved stays in it without an address: the callback then gets the honest
// 503 instead of somebody else's answer.
func (c *candidate) compileEntry() (*routetable.Route, Finding) {
	object := c.route.Object
	spec := &object.Spec
	entry := &routetable.Route{
		Namespace:      object.Namespace,
		Name:           object.Name,
		UID:            string(object.UID),
		Generation:     object.Generation,
		Protocol:       routetable.Protocol(spec.Protocol),
		PathType:       routetable.PathType(spec.Callback.PathType),
		Path:           string(spec.Callback.Path),
		Preflight:      spec.Callback.Preflight == callbackv1alpha1.PreflightEnabled,
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

	refs := Finding{OK: true, Reason: callbackv1alpha1.ReasonResolvedRefs, Message: "every backend exists and may be used"}
	var broken []string
	for i := range spec.Backends {
		backend, problem := c.resolve(&spec.Backends[i])
		entry.Backends = append(entry.Backends, backend)
		if problem.Reason == "" {
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
	return entry, refs
}

// resolve finds what to dial for a backend. The Finding is empty when all is
// well.
func (c *candidate) resolve(b *callbackv1alpha1.Backend) (routetable.Backend, Finding) {
	key := types.NamespacedName{Namespace: string(b.Service.Namespace), Name: string(b.Service.Name)}
	if key.Namespace == "" {
		key.Namespace = c.route.Object.Namespace
	}
	out := routetable.Backend{Name: b.Name, Weight: 1, Path: string(b.Path)}
	if b.Weight != nil {
		out.Weight = *b.Weight
	}
	if b.HostHeader == callbackv1alpha1.HostHeaderBackend {
		out.Host = serviceHost(key, b.Service.Port)
	}
	out.Check = healthCheck(b.HealthCheck, serviceHost(key, b.Service.Port))

	service, port := c.lookup(key, b.Service.Port)
	if port == nil {
		return out, c.unresolved(key, b.Service.Port)
	}
	addresses, problem := c.addresses(service, port)
	if problem != "" {
		return out, Finding{
			Reason:  callbackv1alpha1.ReasonInvalidBackend,
			Message: fmt.Sprintf("Service %s cannot be a backend: %s", key, problem),
		}
	}
	out.Addresses = addresses
	if len(addresses) == 0 || c.hasNoEndpoints(key, port) {
		if c.noEndpoints == nil {
			c.noEndpoints = map[string]struct{}{}
		}
		c.noEndpoints[b.Name] = struct{}{}
	}
	return out, Finding{}
}

// The defaults of a health check.
const (
	defaultCheckInterval    = 5
	defaultCheckTimeout     = 2
	defaultCheckUnhealthy   = 3
	defaultCheckHealthyRise = 2
)

// healthCheck fills in what is not declared. All routes use the same Host for
// the same Service, so that its instances look at it once for all of them.
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

// hasNoEndpoints says whether the Service's EndpointSlices, of which there are
// some, hold no ready endpoint for a port. None at all says nothing: whoever
// fills in endpoints otherwise makes none.
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

// unresolved words a backend without a Service. For another namespace it is
// one text for all causes, so that nobody learns what exists there.
func (c *candidate) unresolved(key types.NamespacedName, port int32) Finding {
	if key.Namespace == c.route.Object.Namespace {
		return Finding{
			Reason:  callbackv1alpha1.ReasonBackendNotFound,
			Message: fmt.Sprintf("Service %s with TCP port %d does not exist: create it, or correct the backend", key, port),
		}
	}
	return Finding{
		Reason: callbackv1alpha1.ReasonRefNotPermitted,
		Message: fmt.Sprintf("Service %s with TCP port %d does not exist or may not be used from namespace %s: "+
			"create it, and in namespace %s a ReferenceGrant from callbackproxy.io CallbackRoute in %s to Service",
			key, port, c.route.Object.Namespace, key.Namespace, c.route.Object.Namespace),
	}
}

// granted says whether a ReferenceGrant beside the Service lets the route
// use it.
func (c *candidate) granted(key types.NamespacedName) bool {
	for i := range c.snapshot.Grants {
		grant := &c.snapshot.Grants[i]
		if grant.Namespace != key.Namespace || !grant.DeletionTimestamp.IsZero() {
			continue
		}
		from := slices.ContainsFunc(grant.Spec.From, func(f gatewayv1beta1.ReferenceGrantFrom) bool {
			return string(f.Group) == callbackv1alpha1.SchemeGroupVersion.Group && f.Kind == "CallbackRoute" &&
				string(f.Namespace) == c.route.Object.Namespace
		})
		to := slices.ContainsFunc(grant.Spec.To, func(t gatewayv1beta1.ReferenceGrantTo) bool {
			return t.Group == "" && t.Kind == "Service" && (t.Name == nil || *t.Name == "" || string(*t.Name) == key.Name)
		})
		if from && to {
			return true
		}
	}
	return false
}

// addresses returns what to dial for a Service's port: its cluster IP, whose
// balancing is the cluster's, or the ready endpoints when it has none.
func (c *candidate) addresses(service *corev1.Service, port *corev1.ServicePort) (addresses []string, problem string) {
	switch {
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		return nil, "type ExternalName would let its owner point callbacks anywhere; use a Service with a cluster IP"
	case service.Spec.ClusterIP == "":
		return nil, "it has no cluster IP yet"
	case service.Spec.ClusterIP == corev1.ClusterIPNone:
		return c.endpointAddresses(service, port)
	}
	addr, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil {
		return nil, "its cluster IP cannot be read"
	}
	if problem := c.refuse(addr); problem != "" {
		return nil, problem
	}
	return []string{netip.AddrPortFrom(addr, uint16(port.Port)).String()}, "" //nolint:gosec // the API bounds ports
}

// refuse says why an address is never dialled; empty when it may be.
func (c *candidate) refuse(addr netip.Addr) string {
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

// endpointAddresses returns the ready endpoints of a headless Service, sorted.
// Names (FQDN slices) and addresses that are never dialled are left out; when
// that leaves nothing, the problem says why.
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
			if why := c.refuse(addr); why != "" {
				refused = append(refused, why)
				continue
			}
			addresses = append(addresses, netip.AddrPortFrom(addr.Unmap(), number).String())
		}
	}
	if len(addresses) == 0 && len(refused) > 0 {
		return nil, "none of its endpoints is ever dialled: " + slices.Min(refused)
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	return addresses[:min(len(addresses), routetable.MaxAddresses)], ""
}

// readyAddresses returns the addresses of ready endpoints. Unknown readiness
// counts as ready, as the API defines it.
func readyAddresses(slice *discoveryv1.EndpointSlice) []string {
	var addresses []string
	for _, endpoint := range slice.Endpoints {
		if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
			addresses = append(addresses, endpoint.Addresses...)
		}
	}
	return addresses
}

func slicePort(slice *discoveryv1.EndpointSlice, name string) uint16 {
	for _, p := range slice.Ports {
		named := ""
		if p.Name != nil {
			named = *p.Name
		}
		if named == name && p.Port != nil && *p.Port > 0 && *p.Port < 1<<16 {
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
