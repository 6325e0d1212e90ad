// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// ProxyMode defines who runs the proxies of a fleet.
//
// +kubebuilder:validation:Enum=Deployment;Sidecar;External
type ProxyMode string

// The modes.
const (
	ModeDeployment ProxyMode = "Deployment"
	ModeSidecar    ProxyMode = "Sidecar"
	ModeExternal   ProxyMode = "External"
)

// ProxyDeployment is how the operator runs the proxies of a fleet.
//
// +kubebuilder:validation:MinProperties=1
type ProxyDeployment struct {
	// replicas is how many there are; 2 by default. While a
	// HorizontalPodAutoscaler targets the Deployment, it decides instead.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Replicas int32 `json:"replicas,omitempty"`
	// resources of each proxy.
	// +optional
	Resources ProxyResources `json:"resources,omitzero"`
	// nodeSelector selects the nodes on which they may run, by labels.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`
	// tolerations of their pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Tolerations []Toleration `json:"tolerations,omitempty"` //nolint:kubeapilinter // as in core, each field of a toleration is optional
	// service is how they are reached.
	// +optional
	Service ProxyService `json:"service,omitzero"`
}

// ProxyService is how the proxies of a Deployment are reached.
//
// +kubebuilder:validation:MinProperties=1
type ProxyService struct {
	// type of the Service: ClusterIP (default), NodePort or LoadBalancer.
	// +optional
	Type ProxyServiceType `json:"type,omitempty"`
	// annotations of the Service, as load balancers require them.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// ProxyServiceType is the type of a Service.
//
// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
type ProxyServiceType string

// ProxySidecar is what a sidecar stands in front of.
//
// +kubebuilder:validation:MinProperties=1
type ProxySidecar struct {
	// appPort is the port of the application in the same pod; everything that
	// is no callback is passed on to it unchanged, at 127.0.0.1.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	AppPort int32 `json:"appPort,omitempty"`
	// resources of each sidecar.
	// +optional
	Resources ProxyResources `json:"resources,omitzero"`
}

// ProxyResources are the compute resources of one proxy.
//
// +kubebuilder:validation:MinProperties=1
type ProxyResources struct {
	// requests are what the scheduler sets aside; 20m of cpu and 32Mi of
	// memory by default.
	// +optional
	Requests ResourceAmounts `json:"requests,omitzero"`
	// limits are what it may use at most; 128Mi of memory by default, and no
	// limit on cpu.
	// +optional
	Limits ResourceAmounts `json:"limits,omitzero"`
}

// ResourceAmounts are amounts of compute resources. The rules are stricter than
// Kubernetes' own pattern of a quantity, which lets pass what cannot be decoded,
// such as 1e1.5, and quantities whose decoding does not end, such as 1e999999999999: one such
// object would stop its reader.
//
// +kubebuilder:validation:MinProperties=1
type ResourceAmounts struct {
	// cpu is an amount such as 100m.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.size() <= 16 && !self.startsWith('-') && !self.contains('e') && !self.contains('E')",message="must be a plain amount, such as 100m or 2: not negative, at most 16 characters, no exponent"
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// memory is an amount such as 64Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.size() <= 16 && !self.startsWith('-') && !self.contains('e') && !self.contains('E')",message="must be a plain amount, such as 64Mi: not negative, at most 16 characters, no exponent"
	Memory *resource.Quantity `json:"memory,omitempty"`
}

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MinLength=0
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// AnnotationValue is the value of an annotation.
//
// +kubebuilder:validation:MinLength=0
// +kubebuilder:validation:MaxLength=1024
type AnnotationValue string

// Toleration is a taint that pods tolerate, in the words of core's pods.
//
// +kubebuilder:validation:MinProperties=1
type Toleration struct {
	// key of the taint; every key when it is empty, with operator Exists.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key,omitempty"`
	// operator is Equal (the default) or Exists.
	// +optional
	Operator TolerationOperator `json:"operator,omitempty"`
	// value of the taint, with operator Equal.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Value string `json:"value,omitempty"`
	// effect of the taint; every effect when it is empty.
	// +optional
	Effect TaintEffect `json:"effect,omitempty"`
	// tolerationSeconds is how long effect NoExecute is tolerated; without end
	// when it is not set.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	TolerationSeconds *int32 `json:"tolerationSeconds,omitempty"`
}

// TolerationOperator is how a toleration matches a taint.
//
// +kubebuilder:validation:Enum=Equal;Exists
type TolerationOperator string

// TaintEffect is what a taint does to pods that do not tolerate it.
//
// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
type TaintEffect string
