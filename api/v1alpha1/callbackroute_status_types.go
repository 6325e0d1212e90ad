// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CallbackRouteStatus is what the controller found.
//
// +kubebuilder:validation:MinProperties=1
type CallbackRouteStatus struct {
	// observedGeneration is the generation this status speaks of; -1 as long as
	// nobody looked.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"` //nolint:kubeapilinter // 0 is no generation, and says nothing
	// conditions are Accepted, ResolvedRefs, Programmed, BackendsHealthy and
	// Ready, always; SunsetApproaching, SunsetPassed, SunsetHeld and Deprecated
	// while they have something to say.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// activeBackend is the backend that is declared to get the callbacks.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ActiveBackend string `json:"activeBackend,omitempty"`
	// backends are the route's backends, as the instances see and use them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Backends []BackendStatus `json:"backends,omitempty"`
	// traffic is what came for this route.
	// +optional
	Traffic *Traffic `json:"traffic,omitempty"` //nolint:kubeapilinter // nil: nobody looked
	// proxies counts the instances that serve this route.
	// +optional
	Proxies *ProxyCounts `json:"proxies,omitempty"`
}

// BackendStatus is a backend as the instances see and use it.
type BackendStatus struct {
	// name of the backend.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// health is Healthy (every instance that looks sees it so), Unhealthy (at
	// least one does not) or Unknown (nothing measures it).
	// +required
	Health Health `json:"health,omitempty"`
	// reason says why it is not healthy.
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

// Health is how a backend stands.
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
// instance counted and could tell nobody any more is missing. They are written
// at most once in 30 seconds.
//
// +kubebuilder:validation:MinProperties=1
type Traffic struct {
	// lastCallbackTime is when the last well-formed callback came: a request
	// with the parameters of an answer of the route's protocol.
	// +optional
	LastCallbackTime *metav1.Time `json:"lastCallbackTime,omitempty"`
	// quietSince is set once no well-formed callback has come for an hour: it
	// is when the last one came, or when the route was created.
	// +optional
	QuietSince *metav1.Time `json:"quietSince,omitempty"`
	// callbacks is how many well-formed callbacks came, whatever became of
	// them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Callbacks *int64 `json:"callbacks,omitempty"`
	// afterSunset is how many of them came after sunsetTime.
	// +optional
	// +kubebuilder:validation:Minimum=0
	AfterSunset *int64 `json:"afterSunset,omitempty"`
	// other is how many requests came to the callback's path that are no
	// answers of the protocol: mostly scanners, and people who reload.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Other *int64 `json:"other,omitempty"`
	// refused is how many requests of the route broke a rule for answers, or
	// came with half a body, and were delivered to nobody. What a rule for every
	// request refuses belongs to no route and is not in it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Refused *int64 `json:"refused,omitempty"`
}

// ProxyCounts counts proxy instances (pods).
type ProxyCounts struct {
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
