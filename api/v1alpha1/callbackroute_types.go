// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CallbackRoute keeps one external callback URL alive while the identity
// service behind it is replaced: it says which path on which hosts is the
// callback, which backends may answer it, and when it ends.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cbr,categories=callbacks
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.spec.hostnames[0]`
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.spec.callback.path`
// +kubebuilder:printcolumn:name="Active",type=string,JSONPath=`.status.activeBackend`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Sunset",type=string,JSONPath=`.spec.sunsetTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Last callback",type=date,JSONPath=`.status.traffic.lastCallbackTime`,priority=1
type CallbackRoute struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the identity team declares.
	// +required
	Spec CallbackRouteSpec `json:"spec,omitzero"`
	// status is what the controller found. It is written whole. Until then it
	// says -1, so that tools which look for a current status keep waiting.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status CallbackRouteStatus `json:"status,omitzero"`
}

// CallbackRouteSpec declares a callback, its backends and its end.
//
// +kubebuilder:validation:XValidation:rule="!has(self.deprecationTime) || timestamp(self.deprecationTime) <= timestamp(self.sunsetTime)",message="deprecationTime must not be after sunsetTime (RFC 9745)"
// +kubebuilder:validation:XValidation:rule="self.backends.exists_one(b, b.weight > 0 && self.backends.all(o, o.weight <= b.weight))",message="exactly one backend must have the highest weight, above 0: it gets the callbacks; others above 0 stand by for it, and weight: 0 keeps a backend idle"
// +kubebuilder:validation:XValidation:rule="self.callback.pathType == 'Exact' || self.backends.all(b, !has(b.path))",message="a backend's path replaces the whole path and needs callback.pathType: Exact"
// +kubebuilder:validation:XValidation:rule="self.protocol != 'Opaque' || !has(self.callback.preflight) || self.callback.preflight == 'Disabled'",message="preflight sends an error response of the protocol, and protocol Opaque has none"
type CallbackRouteSpec struct {
	// proxyRef names the CallbackProxy that serves this route.
	// +required
	ProxyRef ProxyReference `json:"proxyRef,omitzero"`

	// hostnames are the external hosts on which the callback is registered.
	// Each must be given to this namespace by the CallbackProxy.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Hostnames []Hostname `json:"hostnames,omitempty"`

	// protocol says what an answer looks like, and so what is checked in it
	// and what is secret: OAuth2 and OIDC (code, state, iss, ...), SAML
	// (SAMLResponse, RelayState, ...) or Opaque (nothing is looked at).
	// +required
	Protocol Protocol `json:"protocol,omitempty"`

	// callback is the registered path.
	// +required
	Callback Callback `json:"callback,omitzero"`

	// backends are the services that may receive the callback. Exactly one
	// has the highest weight.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Backends []Backend `json:"backends,omitempty"`

	// timeouts bound one delivery.
	// +optional
	// +kubebuilder:default={requestSeconds: 30}
	Timeouts Timeouts `json:"timeouts,omitzero"`

	// Of both times: the API server's check of a string with a format lets lists
	// pass, and one list here would stop Go from reading any route. The rule
	// about the year holds for every time and for no list.

	// deprecationTime is when the callback becomes deprecated (RFC 9745), as
	// RFC 3339 with whole seconds, for example 2026-11-01T00:00:00Z. Answers
	// carry it in the Deprecation header. Not after sunsetTime.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$`
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() > 1998",message="must be one time, such as 2026-12-31T00:00:00Z"
	DeprecationTime *metav1.Time `json:"deprecationTime,omitempty"`

	// sunsetTime is when the route ends (RFC 8594), as RFC 3339 with whole
	// seconds, for example 2026-12-31T00:00:00Z. The proxies enforce it from
	// their own clocks.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$`
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() > 1998",message="must be one time, such as 2026-12-31T00:00:00Z"
	SunsetTime metav1.Time `json:"sunsetTime,omitzero"`

	// afterSunset is Reject (410 Gone, the default) or Warn (keeps serving
	// and keeps saying so). The CallbackProxy's policy says which are allowed.
	// +optional
	// +kubebuilder:default=Reject
	AfterSunset AfterSunset `json:"afterSunset,omitempty"`

	// infoURL is a page for people: the 410 page and the Link header point
	// to it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9/._~!$&()*+,;=:@%-]*)?([?][A-Za-z0-9/._~!$&()*+,;=:@%?-]*)?(#[A-Za-z0-9/._~!$&()*+,;=:@%?-]*)?$')",message="must be an absolute https:// URL without user information, quotes, spaces or angle brackets"
	InfoURL string `json:"infoURL,omitempty"`

	// owner says whom to ask about this route, for example a team's address.
	// The CallbackProxy's policy may require it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Owner string `json:"owner,omitempty"`
}

// ProxyReference names a CallbackProxy.
type ProxyReference struct {
	// name of the CallbackProxy.
	// +required
	Name ObjectName `json:"name,omitempty"`
	// namespace of the CallbackProxy; the route's own when absent.
	// +optional
	Namespace Namespace `json:"namespace,omitempty"`
}

// Protocol is the protocol whose answers a callback receives.
//
// +kubebuilder:validation:Enum=OAuth2;OIDC;SAML;Opaque
type Protocol string

// The protocols.
const (
	ProtocolOAuth2 Protocol = "OAuth2"
	ProtocolOIDC   Protocol = "OIDC"
	ProtocolSAML   Protocol = "SAML"
	ProtocolOpaque Protocol = "Opaque"
)

// PathType says how a callback path is compared with a request's.
//
// +kubebuilder:validation:Enum=Exact;Prefix
type PathType string

const (
	// PathExact matches the same bytes and nothing else.
	PathExact PathType = "Exact"
	// PathPrefix matches by whole segments: /foo owns /foo and /foo/bar, not
	// /foobar.
	PathPrefix PathType = "Prefix"
)

// Callback is the registered path.
//
// +kubebuilder:validation:XValidation:rule="!has(self.preflight) || self.preflight == 'Disabled' || self.pathType == 'Exact'",message="preflight asks for one path and needs pathType: Exact"
// +kubebuilder:validation:XValidation:rule="self.pathType == 'Exact' || self.path == '/' || !self.path.endsWith('/')",message="a Prefix path must not end with /: /saml already covers /saml/ and everything below it"
type Callback struct {
	// path is the path part of the registered URL.
	// +required
	Path CallbackPath `json:"path,omitempty"`
	// pathType is Exact (the default) or Prefix.
	// +optional
	// +kubebuilder:default=Exact
	PathType PathType `json:"pathType,omitempty"`
	// preflight is Disabled (the default) or Enabled: the proxies then send
	// each backend, now and then, a well-formed error response of the route's
	// protocol, whose state (RelayState) begins with callbackproxy-preflight.
	// A backend that answers 404, 405 or 5xx does not serve the callback's
	// path: it is reported, before anybody's login meets it. Not for protocol
	// Opaque.
	// +optional
	Preflight Preflight `json:"preflight,omitempty"`
}

// Preflight says whether backends are asked for the callback's path.
//
// +kubebuilder:validation:Enum=Disabled;Enabled
type Preflight string

// The values.
const (
	PreflightDisabled Preflight = "Disabled"
	PreflightEnabled  Preflight = "Enabled"
)

// Backend is one service that may receive the callback.
type Backend struct {
	// name of the backend within the route.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// service is the Kubernetes Service behind the backend.
	// +required
	Service ServiceReference `json:"service,omitzero"`

	// weight is the backend's rank. The backend with the highest weight gets
	// every callback; others above 0 stand by, the higher first, and get what
	// it cannot be reached for; 0 keeps a backend declared and idle.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Weight *int32 `json:"weight,omitempty"`

	// path replaces the path of the request at this backend, when the new
	// service has its callback elsewhere. A constant, never computed from the
	// request; the query is kept byte for byte. Needs callback.pathType Exact.
	// +optional
	Path CallbackPath `json:"path,omitempty"`

	// hostHeader is Preserve (the backend sees the external host, as its
	// redirect_uri needs) or Backend (the Service's DNS name). Preserve when
	// absent: not as a default of the schema, since those inside lists make
	// kubectl apply say "configured" when nothing changed.
	// +optional
	HostHeader HostHeader `json:"hostHeader,omitempty"`

	// healthCheck has the proxies look at the backend again and again. Without
	// it, its health is known only from failures to reach it and from what its
	// EndpointSlices say.
	// +optional
	HealthCheck *HealthCheck `json:"healthCheck,omitempty"` //nolint:kubeapilinter // nil: none is declared
}

// HealthCheck is how the proxies look at a backend. Each instance looks for
// itself, so what counts is what it can reach. No field has a default in the
// schema, see hostHeader.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.type) && self.type == 'TCP' ? !has(self.path) : has(self.path)",message="an HTTP check needs a path; a TCP check (type: TCP) has none"
// +kubebuilder:validation:XValidation:rule="(has(self.timeoutSeconds) ? self.timeoutSeconds : 2) <= (has(self.intervalSeconds) ? self.intervalSeconds : 5)",message="timeoutSeconds (2 when absent) must not be longer than intervalSeconds (5 when absent)"
type HealthCheck struct {
	// type is HTTP (the default: a GET that is answered with a status from
	// 200 to 399) or TCP (a connection is accepted).
	// +optional
	Type HealthCheckType `json:"type,omitempty"`
	// path of an HTTP check. Its Host is the Service's DNS name. Redirects
	// are not followed.
	// +optional
	Path CallbackPath `json:"path,omitempty"`
	// intervalSeconds is the time between two checks, in seconds; 5 when
	// absent.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	IntervalSeconds int32 `json:"intervalSeconds,omitempty"`
	// timeoutSeconds bounds one check, in seconds; 2 when absent.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
	// unhealthyThreshold is how many checks in a row must fail before the
	// backend is unhealthy; 3 when absent.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	UnhealthyThreshold int32 `json:"unhealthyThreshold,omitempty"`
	// healthyThreshold is how many checks in a row must succeed before it is
	// healthy again; 2 when absent.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	HealthyThreshold int32 `json:"healthyThreshold,omitempty"`
}

// HealthCheckType is the kind of a check.
//
// +kubebuilder:validation:Enum=HTTP;TCP
type HealthCheckType string

// The types of checks.
const (
	HealthCheckHTTP HealthCheckType = "HTTP"
	HealthCheckTCP  HealthCheckType = "TCP"
)

// HostHeader says which Host a backend sees.
//
// +kubebuilder:validation:Enum=Preserve;Backend
type HostHeader string

const (
	// HostHeaderPreserve sends the request's own Host.
	HostHeaderPreserve HostHeader = "Preserve"
	// HostHeaderBackend sends <service>.<namespace>.svc:<port>.
	HostHeaderBackend HostHeader = "Backend"
)

// ServiceReference names a port of a Service.
type ServiceReference struct {
	// name of the Service.
	// +required
	Name ObjectName `json:"name,omitempty"`
	// port is the Service's port, by number.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// namespace of the Service; the route's own when absent. Another one
	// needs a ReferenceGrant there.
	// +optional
	Namespace Namespace `json:"namespace,omitempty"`
}

// Timeouts bound one delivery.
//
// +kubebuilder:validation:MinProperties=1
type Timeouts struct {
	// requestSeconds bounds one delivery from dialling to the last byte of the
	// answer, in seconds. The first byte of the answer must come within 15
	// seconds, or within half of the whole where that is more.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	RequestSeconds int32 `json:"requestSeconds,omitempty"`
}

// CallbackRouteList is a list of CallbackRoutes.
//
// +kubebuilder:object:root=true
type CallbackRouteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CallbackRoute `json:"items"`
}
