// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CallbackRoute keeps external callback URLs alive while the identity service
// behind them is replaced. It declares the registered hosts and paths, the
// backends that may receive the callbacks, and the time at which it ends.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cbr,categories=callbacks
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.spec.hostnames[0]`
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.spec.callbacks[0].path`
// +kubebuilder:printcolumn:name="Primary",type=string,JSONPath=`.status.primaryBackend`
// +kubebuilder:printcolumn:name="Healthy",type=string,JSONPath=`.status.conditions[?(@.type=="BackendsHealthy")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Sunset",type=string,JSONPath=`.spec.sunsetTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Ended",type=string,JSONPath=`.status.conditions[?(@.type=="SunsetPassed")].status`,priority=1
// +kubebuilder:printcolumn:name="Last callback",type=date,JSONPath=`.status.traffic.lastCallbackTime`,priority=1
type CallbackRoute struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the identity team declares.
	// +required
	Spec CallbackRouteSpec `json:"spec,omitzero"`
	// status is what the controller observed. It is always written as a whole.
	// Until the first write observedGeneration is -1, so that tools that wait for
	// a current status keep waiting.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status CallbackRouteStatus `json:"status,omitzero"`
}

// CallbackRouteSpec declares callbacks, their backends and their end.
//
// +kubebuilder:validation:XValidation:rule="!has(self.deprecationTime) || self.deprecationTime.size() < 20 || self.sunsetTime.size() < 20 || timestamp(self.deprecationTime) <= timestamp(self.sunsetTime)",message="deprecationTime must not be after sunsetTime (RFC 9745)"
// +kubebuilder:validation:XValidation:rule="self.callbacks.all(c, self.callbacks.exists_one(o, o.path == c.path && (has(o.pathType) ? o.pathType : 'Exact') == (has(c.pathType) ? c.pathType : 'Exact') && (has(o.query) ? o.query.size() : 0) == (has(c.query) ? c.query.size() : 0) && !(has(o.query) && has(c.query) && o.query.exists(p, c.query.exists(q, p.name == q.name && p.value != q.value)))))",message="two callbacks of a route have the same path: remove one of them, or give both a query with different values of one parameter"
// +kubebuilder:validation:XValidation:rule="self.backends.size() == 1 || self.backends.all(b, has(b.weight))",message="with several backends each needs a weight: the primary backend has one above 0, every other one has weight: 0"
// +kubebuilder:validation:XValidation:rule="self.backends.size() == 1 ? self.backends.all(b, !has(b.weight) || b.weight > 0) : self.backends.exists_one(b, has(b.weight) && b.weight > 0)",message="exactly one backend must have a weight above 0: weight is the proportion of new logins, and logins start outside the proxy, so no share can be kept; give the others weight: 0"
// +kubebuilder:validation:XValidation:rule="self.backends.all(b, !has(b.failover) || self.backends.exists(o, o.name == b.failover.backend && o.name != b.name && has(o.weight) && o.weight == 0))",message="failover.backend must name another backend of this route, one with weight: 0"
// +kubebuilder:validation:XValidation:rule="self.backends.all(b, !has(b.paths) || b.paths.all(p, self.callbacks.exists(c, c.name == p.callback && (!has(c.pathType) || c.pathType == 'Exact'))))",message="backends[].paths replaces the whole path: each entry must name a callback of this route with pathType: Exact"
// +kubebuilder:validation:XValidation:rule="self.protocol != 'Opaque' || self.callbacks.all(c, !has(c.pathProbe) || c.pathProbe == 'Disabled')",message="pathProbe sends an error response of the protocol, and protocol Opaque has none: remove pathProbe"
// +kubebuilder:validation:XValidation:rule="self.protocol == 'Opaque' || self.callbacks.all(c, !has(c.methods))",message="callbacks[].methods is for protocol Opaque: remove methods"
// +kubebuilder:validation:XValidation:rule="!has(self.ownership) || (self.ownership.unowned.type != 'Backend' || self.backends.exists(b, b.name == self.ownership.unowned.backend)) && self.ownership.rules.all(r, (!has(r.backend) || self.backends.exists(b, b.name == r.backend)) && (!has(r.connection) || r.connection.backends.all(c, self.backends.exists(b, b.name == c.name))))",message="ownership must name backends of this route: correct the backend of a rule, or of unowned"
// +kubebuilder:validation:XValidation:rule="!has(self.ownership) || self.protocol != 'Opaque' || self.ownership.rules.all(r, r.type == 'Cookie' || r.type == 'Connection')",message="protocol Opaque has no state, issuer or audience: use ownership rules of type Cookie or Connection"
// +kubebuilder:validation:XValidation:rule="!has(self.ownership) || self.ownership.rules.all(r, !has(r.state) || !has(r.state.source) || (r.state.source == 'State') == (self.protocol != 'SAML'))",message="state.source is State for OAuth2 and OIDC, RelayState or InResponseTo for SAML"
// +kubebuilder:validation:XValidation:rule="!has(self.ownership) || self.ownership.rules.all(r, !has(r.connection) || !has(r.connection.pathSegment)) || self.callbacks.exists(c, has(c.pathType) && c.pathType == 'Prefix')",message="connection.pathSegment counts segments behind the path of a Prefix callback: add a callback with pathType: Prefix, or use connection.parameter"
type CallbackRouteSpec struct {
	// proxyRef names the CallbackProxy that serves this route.
	// +required
	ProxyRef ProxyReference `json:"proxyRef,omitzero"`

	// hostnames are the external hosts on which the callback is registered.
	// The CallbackProxy must grant each of them to this namespace.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Hostnames []Hostname `json:"hostnames,omitempty"`

	// protocol defines what a response looks like, and so what the proxy checks,
	// counts and redacts: OAuth2 and OIDC (code, state, iss, ...), SAML
	// (SAMLResponse, RelayState, ...) or Opaque (no parameter is read).
	// +required
	Protocol Protocol `json:"protocol,omitempty"`

	// callbacks are the registered paths that move together: with one change of
	// weights and one sunset. The route claims all of them on all hostnames, or
	// none.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Callbacks []Callback `json:"callbacks,omitempty"`

	// backends are the services that may receive the callbacks. Exactly one
	// has a weight above 0, the primary backend: it gets the callbacks unless
	// ownership gives them to another.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Backends []Backend `json:"backends,omitempty"`

	// ownership makes callbacks follow the login that they complete. Without it every
	// callback goes to the primary backend.
	// +optional
	Ownership *Ownership `json:"ownership,omitempty"` //nolint:kubeapilinter // nil: none is declared

	// timeouts bound one delivery.
	// +optional
	// +kubebuilder:default={requestSeconds: 30}
	Timeouts Timeouts `json:"timeouts,omitzero"`

	// Both times are strings without a format in the schema (Schemaless leaves out
	// the one of metav1.Time). With a format the API
	// server prints the format's name before any rule, accepts spellings that Go
	// cannot decode, and accepts lists; one such object would stop the controller
	// from decoding any route. The rules accept only what Go decodes.

	// deprecationTime is when the callback becomes deprecated (RFC 9745), as
	// RFC 3339 with whole seconds, for example 2026-11-01T00:00:00Z. Responses
	// carry it in the Deprecation header. Not after sunsetTime.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}$')",message="a date needs a time of day, such as 2026-12-31T00:00:00Z",messageExpression="'a date needs a time of day: write \"' + self + 'T00:00:00Z\"'"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}$') || self.matches('^(2[0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|2([0-9](0[48]|[2468][048]|[13579][26])|[048]00)-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$')",message="must be a time that exists, in RFC 3339 with whole seconds: a capital T, and Z or an offset below 14 hours, such as 2026-12-31T00:00:00Z"
	DeprecationTime *metav1.Time `json:"deprecationTime,omitempty"`

	// sunsetTime is when the route ends (RFC 8594), as RFC 3339 with whole
	// seconds, for example 2026-12-31T00:00:00Z. The proxies enforce it from
	// their own clocks.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}$')",message="a date needs a time of day, such as 2026-12-31T00:00:00Z",messageExpression="'a date needs a time of day: write \"' + self + 'T00:00:00Z\"'"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}$') || self.matches('^(2[0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|2([0-9](0[48]|[2468][048]|[13579][26])|[048]00)-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$')",message="must be a time that exists, in RFC 3339 with whole seconds: a capital T, and Z or an offset below 14 hours, such as 2026-12-31T00:00:00Z"
	SunsetTime metav1.Time `json:"sunsetTime,omitzero"`

	// afterSunset is Reject (410 Gone, the default) or Serve (callbacks are still
	// delivered, and the condition SunsetPassed reports it). The CallbackProxy's
	// policy.allowedAfterSunset lists what a route may use.
	// +optional
	// +kubebuilder:default=Reject
	AfterSunset AfterSunset `json:"afterSunset,omitempty"`

	// infoURL is a page for users: the 410 page and the Link header point to it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9/._~!$&()*+,;=:@%-]*)?([?][A-Za-z0-9/._~!$&()*+,;=:@%?-]*)?(#[A-Za-z0-9/._~!$&()*+,;=:@%?-]*)?$')",message="must be an absolute https:// URL without user information, quotes, spaces or angle brackets"
	InfoURL string `json:"infoURL,omitempty"`

	// owner is the contact for this route, for example a team's address. The
	// CallbackProxy's policy may require it.
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

// Protocol is the protocol whose responses a callback receives.
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

// PathType defines how a callback path is compared with the path of a request.
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

// Callback is one registered path.
//
// +kubebuilder:validation:XValidation:rule="!has(self.query) || !has(self.pathType) || self.pathType == 'Exact'",message="query needs pathType: Exact"
// +kubebuilder:validation:XValidation:rule="!has(self.pathProbe) || self.pathProbe == 'Disabled' || !has(self.pathType) || self.pathType == 'Exact'",message="pathProbe requests one path and needs pathType: Exact"
// +kubebuilder:validation:XValidation:rule="!has(self.pathType) || self.pathType == 'Exact' || self.path == '/' || !self.path.endsWith('/')",message="a Prefix path must not end with /: /saml already covers /saml/ and everything below it"
// +kubebuilder:validation:XValidation:rule="!has(self.pathType) || self.pathType == 'Exact' || (self.path.matches('^/[A-Za-z0-9/._~!$&()*+,=:@-]*$') && !self.path.contains('//') && !self.path.matches('/[.][.]?(/|$)'))",message="a Prefix path must be in its canonical spelling: only letters, digits and / . _ ~ ! $ & ( ) * + , = : @ -, no //, no . or .. segment; use pathType: Exact for a path with escapes"
type Callback struct {
	// name of the callback within the route.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be a DNS label: lower case letters, digits and -, with a letter or digit at both ends"
	Name string `json:"name,omitempty"`
	// path is the path part of the registered URL, exactly as it is registered,
	// escapes included.
	// +required
	Path CallbackPath `json:"path,omitempty"`
	// pathType is Exact (the default: the same bytes) or Prefix (whole
	// segments).
	// +optional
	PathType PathType `json:"pathType,omitempty"`
	// query distinguishes callbacks of one path, where only parameters in the registered
	// URL do, such as /wp-admin/admin-ajax.php?action=openid-callback. A request is for
	// the callback when its raw query has each parameter exactly once and with exactly
	// this value. If several callbacks match, the one with the most parameters gets it.
	// For pathType Exact only.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Query []QueryParameter `json:"query,omitempty"`
	// pathProbe is Disabled (the default) or Enabled: at intervals the proxies
	// then send each backend a well-formed error response of the route's
	// protocol, whose state (RelayState) begins with callbackproxy-probe. A
	// backend that responds with 404, 405 or 5xx does not serve the path, and
	// the condition BackendsHealthy reports it before a login fails. Not for
	// protocol Opaque.
	// +optional
	PathProbe PathProbe `json:"pathProbe,omitempty"`
	// methods are the HTTP methods that a callback of protocol Opaque takes; GET,
	// HEAD and POST when absent. For protocol Opaque only: of the others the
	// responses come with GET and POST, and any other request is relayed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Methods []HTTPMethod `json:"methods,omitempty"`
}

// QueryParameter is one parameter of a registered URL, as it is registered,
// escapes included.
type QueryParameter struct {
	// name of the parameter. Not one of a response, such as code or state: those
	// differ from response to response.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="!self.matches('[^!-~]|[&=#;]')",message="must hold visible ASCII characters without & = # and ;: write it as it is registered, with its percent escapes"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['code', 'state', 'iss', 'error', 'response', 'id_token', 'access_token', 'samlresponse', 'samlrequest', 'samlart', 'relaystate', 'sigalg', 'signature', 'error_description', 'error_uri', 'token_type', 'expires_in', 'scope', 'session_state', 'ticket', 'wresult', 'auth_code', 'logout_token'])",message="must not be a parameter of a response, such as code or state: name one that the registered URL has"
	Name string `json:"name,omitempty"`
	// value of the parameter.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.matches('[^!-~]|[&=#;]')",message="must hold visible ASCII characters without & = # and ;: write it as it is registered, with its percent escapes"
	Value string `json:"value,omitempty"`
}

// HTTPMethod is a method of HTTP.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z]([-A-Z]*[A-Z])?$') && self != 'CONNECT' && self != 'TRACE'",message="must be an HTTP method in upper case, such as PUT; CONNECT and TRACE are never served"
type HTTPMethod string

// PathProbe switches the probe of a callback's path on or off.
//
// +kubebuilder:validation:Enum=Disabled;Enabled
type PathProbe string

// The values.
const (
	PathProbeDisabled PathProbe = "Disabled"
	PathProbeEnabled  PathProbe = "Enabled"
)

// Timeouts bound one delivery.
//
// +kubebuilder:validation:MinProperties=1
type Timeouts struct {
	// requestSeconds bounds one delivery from dialling to the last byte of the
	// response, in seconds. The first byte of the response must arrive within 15
	// seconds, or within half of requestSeconds where that is more.
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
