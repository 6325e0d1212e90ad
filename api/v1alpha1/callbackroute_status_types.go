// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CallbackRouteStatus is what the controller observed.
//
// +kubebuilder:validation:MinProperties=1
type CallbackRouteStatus struct {
	// observedGeneration is the generation that this status describes; -1
	// before the first observation.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"` //nolint:kubeapilinter // 0 is no generation, so it is omitted
	// conditions are Accepted, ResolvedRefs, Programmed, BackendsHealthy and
	// Ready, always; Stalled, LoginsLooping, SunsetApproaching, SunsetPassed,
	// SunsetHeld and Deprecated only while they apply.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// primaryBackend is the backend with a weight above 0: it gets the callbacks.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	PrimaryBackend string `json:"primaryBackend,omitempty"`
	// backends are the route's backends, as the instances observe and use them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Backends []BackendStatus `json:"backends,omitempty"`
	// traffic is what came for this route.
	// +optional
	Traffic *Traffic `json:"traffic,omitempty"` //nolint:kubeapilinter // nil: not observed yet
	// instances counts the proxy instances that serve this route.
	// +optional
	Instances *InstanceCounts `json:"instances,omitempty"`
}

// BackendStatus is a backend as the instances observe and use it.
type BackendStatus struct {
	// name of the backend.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// health is Healthy (every instance that measures it observes so),
	// Unhealthy (at least one instance observes a failure) or Unknown (nothing
	// measures it).
	// +required
	Health Health `json:"health,omitempty"`
	// reason is the reason why it is not healthy.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// callbacks is how many callbacks were handed to it; see traffic.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Callbacks *int64 `json:"callbacks,omitempty"`
	// lastCallbackTime is when the last one was.
	// +optional
	LastCallbackTime *metav1.Time `json:"lastCallbackTime,omitempty"`
}

// Health is the state of a backend.
//
// +kubebuilder:validation:Enum=Healthy;Unhealthy;Unknown
type Health string

// The states of health.
const (
	HealthHealthy   Health = "Healthy"
	HealthUnhealthy Health = "Unhealthy"
	HealthUnknown   Health = "Unknown"
)

// Traffic is what came for a route. The numbers are lower bounds: what an
// instance counted and could not report before it ended is missing. They are
// written at most once in 30 seconds.
//
// +kubebuilder:validation:MinProperties=1
type Traffic struct {
	// lastCallbackTime is when the last well-formed callback came: a request
	// with the parameters of a response of the route's protocol.
	// +optional
	LastCallbackTime *metav1.Time `json:"lastCallbackTime,omitempty"`
	// quietSince is set once no well-formed callback has come for an hour: it
	// is when the last one came, or when the route was created.
	// +optional
	QuietSince *metav1.Time `json:"quietSince,omitempty"`
	// callbacks is how many well-formed callbacks came, delivered or
	// not.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Callbacks *int64 `json:"callbacks,omitempty"`
	// afterSunset is how many of them came after sunsetTime.
	// +optional
	// +kubebuilder:validation:Minimum=0
	AfterSunset *int64 `json:"afterSunset,omitempty"`
	// repeats is how many of them were handed to a backend again although the same
	// callback had got a complete answer before: users who reload, and browsers
	// that go back. It counts what callbackproxy_repeats_total counts with result
	// delivered.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Repeats *int64 `json:"repeats,omitempty"`
	// other is how many requests came to the callbacks' paths that are no
	// responses of the protocol: mostly scanners, and users who reload.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Other *int64 `json:"other,omitempty"`
	// refused is how many requests that name the route broke a rule of the proxy,
	// and were not delivered. A request whose host or path cannot be read names no
	// route.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Refused *int64 `json:"refused,omitempty"`
	// lastRefusedTime is when the last one came.
	// +optional
	LastRefusedTime *metav1.Time `json:"lastRefusedTime,omitempty"`
	// lastRefusedReason is the rule that it broke, as in the label reason of the
	// metric callbackproxy_refused_total.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	LastRefusedReason string `json:"lastRefusedReason,omitempty"`
}

// InstanceCounts counts proxy instances (pods).
type InstanceCounts struct {
	// total is the number of pods of the CallbackProxy.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total *int32 `json:"total,omitempty"`
	// ready is how many of them are Ready.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Ready *int32 `json:"ready,omitempty"`
	// programmed is how many of the ready ones run the config with this
	// generation of the route.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Programmed *int32 `json:"programmed,omitempty"`
}
