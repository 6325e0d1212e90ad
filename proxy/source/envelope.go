// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package source

// envelope.go: CallbackProxyConfig objects, as far as a proxy reads them.

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

const (
	resource   = "callbackproxyconfigs"
	proxyLabel = "callbackproxy.io/proxy"
	partIndex  = "Index"
	partShard  = "Shard"
)

var groupVersion = schema.GroupVersion{Group: "callbackproxy.io", Version: "v1alpha1"}

// envelope is a CallbackProxyConfig as far as a proxy reads it.
type envelope struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec spec `json:"spec"`
}

// envelopeList is a list of them.
type envelopeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []envelope `json:"items"`
}

// spec never fails to decode: one object that does would stop the watch over
// all of them. It is marked as broken instead.
type spec struct {
	fields
	broken bool
}

type fields struct {
	Part       string `json:"part"`
	Epoch      int64  `json:"epoch"`
	Generation int64  `json:"generation"`
	ReportKey  string `json:"reportKey"`
	Hash       string `json:"hash"`
	Payload    string `json:"payload"`
}

// UnmarshalJSON keeps what can be read and returns no error.
func (s *spec) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &s.fields); err != nil {
		*s = spec{fields: fields{Part: s.Part}, broken: true}
	}
	return nil
}

// DeepCopyObject copies the metadata; the spec has no references.
func (e *envelope) DeepCopyObject() runtime.Object {
	out := *e
	e.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

// DeepCopyObject copies the list and its items.
func (l *envelopeList) DeepCopyObject() runtime.Object {
	out := *l
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = make([]envelope, len(l.Items))
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopyObject().(*envelope)
	}
	return &out
}

// newClient returns a client of the API server that knows one kind.
func newClient(api *rest.Config) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypeWithName(groupVersion.WithKind("CallbackProxyConfig"), &envelope{})
	scheme.AddKnownTypeWithName(groupVersion.WithKind("CallbackProxyConfigList"), &envelopeList{})
	metav1.AddToGroupVersion(scheme, groupVersion)

	api = rest.CopyConfig(api)
	api.APIPath = "/apis"
	api.GroupVersion = &groupVersion
	api.ContentType = runtime.ContentTypeJSON
	api.WarningHandler = rest.NoWarnings{} // they would go to another log
	api.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(api)
	if err != nil {
		return nil, fmt.Errorf("build API client: %w", err)
	}
	return client, nil
}
