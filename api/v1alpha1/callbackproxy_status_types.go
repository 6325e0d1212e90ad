// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CallbackProxyStatus is what the controller observed.
//
// +kubebuilder:validation:MinProperties=1
type CallbackProxyStatus struct {
	// observedGeneration is the generation that this status describes; -1
	// before the first observation.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"` //nolint:kubeapilinter // 0 is no generation, so it is omitted
	// conditions are Accepted, Programmed and Ready, always; Stalled, ClockSuspect
	// and ForwardingSuspect only while they apply.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// routes counts the routes that name this CallbackProxy.
	// +optional
	Routes *RouteCounts `json:"routes,omitempty"`
	// configGeneration is the generation of the config published last.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ConfigGeneration int64 `json:"configGeneration,omitempty"`
	// configHash is the hash of the config published last.
	// +optional
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	ConfigHash string `json:"configHash,omitempty"`
	// instances are the fleet's ready pods and what each reports to run, by
	// name; 256 when there are more, those that are not Current before others.
	// +optional
	// +listType=map
	// +listMapKey=pod
	// +kubebuilder:validation:MaxItems=256
	Instances []ProxyInstance `json:"instances,omitempty"`
}

// RouteCounts counts routes.
type RouteCounts struct {
	// total is how many routes name this CallbackProxy.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total *int32 `json:"total,omitempty"`
	// accepted is how many of them are part of the config.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Accepted *int32 `json:"accepted,omitempty"`
}

// ProxyInstance is one pod of the fleet.
type ProxyInstance struct {
	// pod is its name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod,omitempty"`
	// state is Current (runs the published config), Behind (runs another),
	// Refused (refused the published config) or Unreachable.
	// +required
	State InstanceState `json:"state,omitempty"`
	// generation of the config that it runs.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`
	// hash of the config that it runs.
	// +optional
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	Hash string `json:"hash,omitempty"`
	// lastReportTime is when its last report came, while it is Unreachable.
	// +optional
	LastReportTime *metav1.Time `json:"lastReportTime,omitempty"`
}

// InstanceState compares what an instance runs with the published config.
//
// +kubebuilder:validation:Enum=Current;Behind;Refused;Unreachable
type InstanceState string

// The states.
const (
	InstanceCurrent     InstanceState = "Current"
	InstanceBehind      InstanceState = "Behind"
	InstanceRefused     InstanceState = "Refused"
	InstanceUnreachable InstanceState = "Unreachable"
)
