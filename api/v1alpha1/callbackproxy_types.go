// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CallbackProxy is a fleet of callback proxies and the rules for its users:
// which namespaces may use which host, and for how long.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=callbackproxies,shortName=cbp,categories=callbacks
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Routes",type=integer,JSONPath=`.status.routes.accepted`
// +kubebuilder:printcolumn:name="Config",type=integer,JSONPath=`.status.configGeneration`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",message="the name of a CallbackProxy is also a label value and a name prefix: at most 63 characters, no dots"
// +kubebuilder:validation:XValidation:rule="self.spec.mode != 'Deployment' || self.metadata.name.size() <= 46",message="in mode Deployment the name of a CallbackProxy is part of the names of what the operator makes: at most 46 characters"
type CallbackProxy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the platform team declares.
	// +required
	Spec CallbackProxySpec `json:"spec,omitzero"`
	// status is what the controller observed. It is always written as a whole.
	// Until the first write observedGeneration is -1, so that tools that wait for
	// a current status keep waiting.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status CallbackProxyStatus `json:"status,omitzero"`
}

// CallbackProxySpec declares a fleet: where its proxies run, its hosts, its
// listener and its policy.
//
// +kubebuilder:validation:XValidation:rule="!has(self.deployment) || self.mode == 'Deployment'",message="deployment is for mode Deployment: set mode: Deployment, or remove deployment"
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Sidecar') == has(self.sidecar)",message="mode Sidecar needs sidecar.appPort, and sidecar is for mode Sidecar only"
// +kubebuilder:validation:XValidation:rule="!has(self.sidecar) || self.sidecar.appPort != self.listener.port",message="sidecar.appPort is the application's and listener.port the sidecar's: they share one pod and must differ"
// +kubebuilder:validation:XValidation:rule="self.mode == 'External' || self.listener.port != 9090",message="listener.port 9090 is the admin port of the proxies that the operator runs: choose another"
// +kubebuilder:validation:XValidation:rule="self.mode != 'Sidecar' || !has(self.listener.healthPath)",message="listener.healthPath is for load balancers in front of a fleet: in mode Sidecar the application responds to health checks"
// +kubebuilder:validation:XValidation:rule="self.mode != 'Sidecar' || !has(self.listener.proxyProtocol) || self.listener.proxyProtocol == 'Disabled'",message="listener.proxyProtocol is for load balancers in front of a fleet: in mode Sidecar leave it out, or set Disabled"
type CallbackProxySpec struct {
	// mode defines who runs the proxies. Deployment: the operator, as a
	// Deployment beside this object. Sidecar: pods of this namespace whose label
	// callbackproxy.io/inject names this object get a proxy in front of their
	// application. External: the user runs them, in pods that carry the label
	// callbackproxy.io/proxy.
	// +required
	Mode ProxyMode `json:"mode,omitempty"`

	// deployment is how the operator runs the proxies in mode Deployment.
	// +optional
	Deployment ProxyDeployment `json:"deployment,omitzero"`

	// sidecar is what the proxies stand in front of in mode Sidecar.
	// +optional
	Sidecar ProxySidecar `json:"sidecar,omitzero"`

	// hosts are the hosts that this fleet serves and the namespaces that may
	// use each. No namespace may use a host that is not listed.
	// +required
	// +listType=map
	// +listMapKey=hostname
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Hosts []ProxyHost `json:"hosts,omitempty"`

	// listener is where the fleet's instances accept callbacks.
	// +optional
	// +kubebuilder:default={port: 8080}
	Listener Listener `json:"listener,omitzero"`

	// forwarding defines what the proxies pass on to the backends about the original request.
	// +optional
	Forwarding Forwarding `json:"forwarding,omitzero"`

	// limits bound one request, and what one instance has at once.
	// +optional
	Limits Limits `json:"limits,omitzero"`

	// pages are what the proxies' own pages show about the product and its support.
	// +optional
	Pages Pages `json:"pages,omitzero"`

	// policy bounds what routes may declare.
	// +optional
	// +kubebuilder:default={maxLifetimeDays: 180, allowedAfterSunset: {Reject}, requireOwner: true, sunsetWarningDays: {30, 7, 1}, maxRoutesPerNamespace: 1000}
	Policy Policy `json:"policy,omitzero"`
}

// ProxyHost grants one host to namespaces.
type ProxyHost struct {
	// hostname that is granted.
	// +required
	Hostname Hostname `json:"hostname,omitempty"`
	// namespaces whose routes may use the host; the CallbackProxy's own when
	// absent. The schema has no defaults here: defaults inside lists make kubectl
	// apply report "configured" when nothing changed.
	// +optional
	Namespaces HostNamespaces `json:"namespaces,omitzero"`
}

// HostNamespaces selects namespaces, in the words of Gateway API's listeners.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="(has(self.from) && self.from == 'Selector') == has(self.selector)",message="selector is set exactly when from is Selector"
type HostNamespaces struct {
	// from is Same (the CallbackProxy's own namespace, the default), Selector
	// or All.
	// +optional
	From FromNamespaces `json:"from,omitempty"`
	// selector matches the labels of the namespaces; for one namespace by
	// name use kubernetes.io/metadata.name.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// FromNamespaces defines which namespaces a host is granted to.
//
// +kubebuilder:validation:Enum=Same;Selector;All
type FromNamespaces string

// The sources of routes.
const (
	NamespacesFromSame     FromNamespaces = "Same"
	NamespacesFromSelector FromNamespaces = "Selector"
	NamespacesFromAll      FromNamespaces = "All"
)

// CIDR is a network, for example 10.0.0.0/8 or fd00::/8.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self).masked() == cidr(self)",message="must be a network in CIDR notation without host bits, such as 10.0.0.0/8"
type CIDR string

// Listener is where the instances accept callbacks.
//
// +kubebuilder:validation:MinProperties=1
type Listener struct {
	// port on which every instance listens. An instance that reports another
	// one is named in the condition Programmed.
	// +optional
	// +kubebuilder:default=8080
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// healthPath is a path at which every instance responds on this port to the
	// health checks of load balancers: 200, or 503 while it is not ready. Only
	// requests whose Host no route has get it. Not in mode Sidecar.
	// +optional
	HealthPath HealthPath `json:"healthPath,omitempty"`
	// proxyProtocol defines how connections begin: Disabled (the default), or
	// Required, with a header of the PROXY protocol, version 1 or 2. Its source
	// address is then the peer that forwarding.trustedProxies is about, and a
	// connection without one is closed. Anyone who can reach the port can state any
	// address, so only the load balancer may reach it. Not in mode Sidecar.
	// +optional
	// +kubebuilder:default=Disabled
	ProxyProtocol ProxyProtocol `json:"proxyProtocol,omitempty"`
}

// ProxyProtocol defines whether connections begin with a header of the PROXY
// protocol.
//
// +kubebuilder:validation:Enum=Disabled;Required
type ProxyProtocol string

// The values.
const (
	ProxyProtocolDisabled ProxyProtocol = "Disabled"
	ProxyProtocolRequired ProxyProtocol = "Required"
)

// HealthPath is a path of visible ASCII, for example /healthz.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule="self.matches('^/[!-~]*$') && !self.contains('?') && !self.contains('#')",message="must be a path that begins with / and holds neither ? nor #, such as /healthz"
type HealthPath string

// Forwarding defines what the proxies pass on to the backends about the original
// request, for callbacks and for requests that a sidecar passes through.
//
// +kubebuilder:validation:MinProperties=1
type Forwarding struct {
	// externalScheme is what the clients use: https by default, because redirect
	// URIs are registered with it. The backends get it as X-Forwarded-Proto unless
	// a trusted proxy states another one.
	// +optional
	// +kubebuilder:default=https
	ExternalScheme ExternalScheme `json:"externalScheme,omitempty"`
	// hostFrom is where trusted proxies leave the Host that the client used: Host
	// (the default), or XForwardedHost for load balancers that replace Host. They
	// must overwrite what a client sends in that field.
	// +optional
	// +kubebuilder:default=Host
	HostFrom HostFrom `json:"hostFrom,omitempty"`
	// trustedProxies are the networks, in CIDR notation, of the load balancers in
	// front of the fleet. The proxies keep what requests from there state about
	// the client (X-Forwarded-*, Forwarded, X-Request-Id and others), and drop it
	// from all other requests.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	TrustedProxies []CIDR `json:"trustedProxies,omitempty"`
}

// ExternalScheme is a URL scheme.
//
// +kubebuilder:validation:Enum=https;http
type ExternalScheme string

// The schemes.
const (
	ExternalSchemeHTTPS ExternalScheme = "https"
	ExternalSchemeHTTP  ExternalScheme = "http"
)

// HostFrom names a field of a request.
//
// +kubebuilder:validation:Enum=Host;XForwardedHost
type HostFrom string

// The fields.
const (
	HostFromHost           HostFrom = "Host"
	HostFromXForwardedHost HostFrom = "XForwardedHost"
)

// Limits bound one request, which gets 431, 414 or 413 beyond them, and what one
// instance has at once.
//
// +kubebuilder:validation:MinProperties=1
type Limits struct {
	// headerKiB bounds all header fields of a request, in KiB; 64 by default.
	// +optional
	// +kubebuilder:default=64
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	HeaderKiB int32 `json:"headerKiB,omitempty"`
	// targetKiB bounds path and query of a request, in KiB; 32 by default.
	// +optional
	// +kubebuilder:default=32
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	TargetKiB int32 `json:"targetKiB,omitempty"`
	// bodyKiB bounds the body of a callback, in KiB; 1024 by default. Requests
	// that a sidecar passes to its application have no such limit.
	// +optional
	// +kubebuilder:default=1024
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16384
	BodyKiB int32 `json:"bodyKiB,omitempty"`
	// connections is how many clients may be connected to one instance; 10000 by
	// default. An instance has fewer when its memory or its descriptors do not
	// suffice: one for each 64 KiB of three quarters of its memory limit.
	// +optional
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=16
	// +kubebuilder:validation:Maximum=100000
	Connections int32 `json:"connections,omitempty"`
	// inFlightPerRoute is how many requests of one route may wait for its backends
	// at one instance; 256 by default. Those beyond get 503 and are not delivered, so
	// that a backend that hangs holds up no other route.
	// +optional
	// +kubebuilder:default=256
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	InFlightPerRoute int32 `json:"inFlightPerRoute,omitempty"`
}

// Policy bounds what routes may declare.
//
// +kubebuilder:validation:MinProperties=1
type Policy struct {
	// maxLifetimeDays is how far a route's sunsetTime may be from the route's
	// creation, in days.
	// +optional
	// +kubebuilder:default=180
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	MaxLifetimeDays int32 `json:"maxLifetimeDays,omitempty"`

	// allowedAfterSunset lists the values of afterSunset that routes may use.
	// +optional
	// +listType=set
	// +kubebuilder:default={Reject}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	AllowedAfterSunset []AfterSunset `json:"allowedAfterSunset,omitempty"`

	// requireOwner defines whether a route must have an owner; true by default,
	// so that every route has a contact.
	// +optional
	// +kubebuilder:default=true
	RequireOwner *bool `json:"requireOwner,omitempty"`

	// sunsetWarningDays are the days before a sunset at which it is announced,
	// by the condition SunsetApproaching and an event each; 30, 7 and 1 by
	// default, none when the list is empty.
	// +optional
	// +listType=set
	// +kubebuilder:default={30,7,1}
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=365
	SunsetWarningDays []int32 `json:"sunsetWarningDays,omitempty"`

	// maxRoutesPerNamespace is how many routes of one namespace are accepted;
	// the oldest are. It bounds what one tenant can add to the fleet's config.
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20000
	MaxRoutesPerNamespace int32 `json:"maxRoutesPerNamespace,omitempty"`
}

// CallbackProxyList is a list of CallbackProxies.
//
// +kubebuilder:object:root=true
type CallbackProxyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CallbackProxy `json:"items"`
}
