// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Backend is one service that may receive the callbacks.
type Backend struct {
	// name of the backend within the route.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be a DNS label: lower case letters, digits and -, with a letter or digit at both ends"
	Name string `json:"name,omitempty"`

	// service is the Kubernetes Service behind the backend.
	// +required
	Service ServiceReference `json:"service,omitzero"`

	// weight is the proportion of new logins that the backend gets. It is
	// required when there are several backends. Exactly one backend, the primary
	// one, has a weight above 0 and gets the callbacks; a backend with weight 0
	// gets none, unless ownership names it or it is the failover of another backend.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Weight *int32 `json:"weight,omitempty"`

	// failover names the backend that gets this backend's callbacks while no
	// connection to this one can be made. Without it those callbacks get 503,
	// which means: not delivered.
	// +optional
	Failover *Failover `json:"failover,omitempty"` //nolint:kubeapilinter // nil: none is declared

	// paths replace the path of the request at this backend, by callback name,
	// where the new service has its callback elsewhere. Each is a constant, never
	// computed from the request; the query is kept byte for byte. Only for
	// callbacks with pathType Exact.
	// +optional
	// +listType=map
	// +listMapKey=callback
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Paths []BackendPath `json:"paths,omitempty"`

	// hostHeader is Preserve (the default: the backend sees the external host, as
	// its redirect_uri needs) or Backend (the Service's DNS name). The schema has
	// no default for it: defaults inside lists make kubectl apply report
	// "configured" when nothing changed.
	// +optional
	HostHeader HostHeader `json:"hostHeader,omitempty"`

	// healthCheck makes the proxies check the backend at intervals. Without it,
	// the backend's health is derived from failed connections and from its
	// EndpointSlices only.
	// +optional
	HealthCheck *HealthCheck `json:"healthCheck,omitempty"` //nolint:kubeapilinter // nil: none is declared
}

// Failover is the replacement of a backend that cannot be reached.
type Failover struct {
	// backend is the name of another backend of the route, one with weight 0.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Backend string `json:"backend,omitempty"`
	// loginState is Shared: the author declares that the other backend can
	// complete logins that this one started, because both use the same login
	// state. The proxy cannot check it.
	// +required
	LoginState LoginState `json:"loginState,omitempty"`
}

// LoginState defines how two backends keep the state of logins in progress.
//
// +kubebuilder:validation:Enum=Shared
type LoginState string

// LoginStateShared declares that both backends use the same login state.
const LoginStateShared LoginState = "Shared"

// BackendPath is the path of one callback at a backend.
type BackendPath struct {
	// callback is the name of a callback of the route.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Callback string `json:"callback,omitempty"`
	// path replaces the whole path of the request.
	// +required
	Path CallbackPath `json:"path,omitempty"`
}

// HealthCheck defines how the proxies check a backend. Each instance checks for
// itself, from its own place in the network. No field has a default in the
// schema, see hostHeader.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.type) && self.type == 'TCP' ? !has(self.path) : has(self.path)",message="an HTTP check needs a path; a TCP check (type: TCP) has none"
// +kubebuilder:validation:XValidation:rule="(has(self.timeoutSeconds) ? self.timeoutSeconds : 2) <= (has(self.intervalSeconds) ? self.intervalSeconds : 5)",message="timeoutSeconds (2 when absent) must not be longer than intervalSeconds (5 when absent)"
type HealthCheck struct {
	// type is HTTP (the default: a GET must get a status from 200 to 399) or TCP
	// (a connection must be accepted).
	// +optional
	Type HealthCheckType `json:"type,omitempty"`
	// path of an HTTP check. Its Host is the Service's DNS name. Redirects
	// are not followed.
	// +optional
	Path ProbePath `json:"path,omitempty"`
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

// HostHeader defines which Host a backend sees.
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
