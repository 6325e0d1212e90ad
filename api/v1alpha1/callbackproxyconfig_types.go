// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CallbackProxyConfig is one part of a CallbackProxy's compiled config: the
// index, which commits one generation, or a shard with routes. The
// controller writes it and the proxies read it; it is not for users to edit.
//
// The index has the CallbackProxy's name; a shard is named
// <proxy>.<first 20 digits of its hash> and never changes. Shards are created
// before the index that names them and deleted after the last index that did,
// so a reader that lists all parts at one moment finds a whole generation.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=cbpc
// +kubebuilder:printcolumn:name="Proxy",type=string,JSONPath=`.metadata.labels.callbackproxy\.io/proxy`
// +kubebuilder:printcolumn:name="Part",type=string,JSONPath=`.spec.part`
// +kubebuilder:printcolumn:name="Epoch",type=integer,JSONPath=`.spec.epoch`
// +kubebuilder:printcolumn:name="Config",type=integer,JSONPath=`.spec.generation`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Hash",type=string,JSONPath=`.spec.hash`,priority=1
type CallbackProxyConfig struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the part.
	// +required
	Spec CallbackProxyConfigSpec `json:"spec,omitzero"`
}

// CallbackProxyConfigSpec is the envelope of one part.
//
// +kubebuilder:validation:XValidation:rule="self.part == 'Index' ? has(self.epoch) && has(self.generation) && has(self.reportKey) : !has(self.epoch) && !has(self.generation) && !has(self.reportKey)",message="epoch, generation and reportKey are set on the Index and on nothing else"
type CallbackProxyConfigSpec struct {
	// part is Index or Shard.
	// +required
	Part ConfigPart `json:"part,omitempty"`

	// epoch grows with each leadership of a controller. A proxy never goes
	// back in (epoch, generation), so an epoch out of reach of every later
	// leadership would stop all updates: epochs are Unix times in seconds, and
	// the maximum is the end of the year 2999.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32503679999
	Epoch int64 `json:"epoch,omitempty"`

	// generation grows with each published change.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`

	// reportKey is the controller's Ed25519 public key, base64: a proxy
	// serves /report only to requests signed by its private half.
	// +optional
	// +kubebuilder:validation:MinLength=44
	// +kubebuilder:validation:MaxLength=44
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9+/]{43}=$`
	ReportKey string `json:"reportKey,omitempty"`

	// hash is the SHA-256 of payload, as 64 hexadecimal digits.
	// +required
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	Hash string `json:"hash,omitempty"`

	// payload is encoded by the package proxy/routetable, the contract
	// between the controller and the proxies.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1000000
	Payload string `json:"payload,omitempty"`
}

// ConfigPart is the part of a config that an object holds.
//
// +kubebuilder:validation:Enum=Index;Shard
type ConfigPart string

// The parts.
const (
	ConfigIndex ConfigPart = "Index"
	ConfigShard ConfigPart = "Shard"
)

// CallbackProxyConfigList is a list of CallbackProxyConfigs.
//
// +kubebuilder:object:root=true
type CallbackProxyConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CallbackProxyConfig `json:"items"`
}
