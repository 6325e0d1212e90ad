// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// ProxyLabel marks what belongs to one CallbackProxy of the same namespace:
// the pods of its fleet (set on their template) and its compiled
// CallbackProxyConfig objects (set by the controller). The value is the
// CallbackProxy's name.
const ProxyLabel = "callbackproxy.io/proxy"

// InjectLabel requests a sidecar: on a pod it names the CallbackProxy of mode
// Sidecar, in the same namespace, whose proxy is put in front of the pod's
// application.
const InjectLabel = "callbackproxy.io/inject"

// AppProtocolAnnotation states which protocol the application of a pod speaks behind
// its sidecar, by the values of a Service's appProtocol. The sidecar speaks HTTP/1.1:
// with kubernetes.io/h2c, h2c, http2 and grpc the pod is refused. Any other value
// permits a port whose name stands for one of these.
const AppProtocolAnnotation = "callbackproxy.io/app-protocol"

// AdminPortName is the name of the container port on which a proxy pod
// serves /healthz, /readyz, /metrics and /report.
const AdminPortName = "admin"

// HoldAnnotation on a CallbackRoute holds its sunset: callbacks are served past
// sunsetTime, no longer than the CallbackProxy's policy would allow a sunset to
// be. Its value is the reason, in 1 to 256 characters; the condition SunsetHeld
// and an event repeat it.
const HoldAnnotation = "callbackproxy.io/hold-sunset"

// Hostname is one exact DNS name in the form in which requests are compared:
// lower case, A-labels for international names, no port, no trailing dot, no
// wildcard, not an IP address.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$')",message="must be one exact DNS name in lower case, such as auth.acme.com: no scheme, port, path, wildcard or trailing dot; write international names as xn-- labels"
// +kubebuilder:validation:XValidation:rule="!self.matches('(^|[.])[0-9]+$')",message="must be a DNS name, not an IP address"
type Hostname string

// ObjectName is the name of a Kubernetes object.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be the name of an object: lower case letters, digits, - and ., with a letter or digit at both ends"
type ObjectName string

// Namespace is the name of a Kubernetes namespace.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be a DNS label: lower case letters, digits and -, with a letter or digit at both ends"
type Namespace string

// CallbackPath is the path part of a URL as it is registered: it begins with /
// and holds visible ASCII without ? and #. It is compared with the raw bytes of
// the request, so an escape is part of it, and another spelling is another path.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule=`self.matches('^/[!-"$->@-~]*$')`,message="must begin with / and hold visible ASCII characters without ? and #: write the path as it is registered, with its percent escapes, without scheme, host, query and fragment"
type CallbackPath string

// ProbePath is an absolute URL path in its canonical spelling.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule="self.matches('^/[A-Za-z0-9/._~!$&()*+,=:@-]*$')",message="must begin with / and hold only letters, digits and / . _ ~ ! $ & ( ) * + , = : @ -"
// +kubebuilder:validation:XValidation:rule="!self.contains('//')",message="must not contain //"
// +kubebuilder:validation:XValidation:rule="!self.matches('/[.][.]?(/|$)')",message="must not contain a . or .. segment"
type ProbePath string

// AfterSunset defines what a proxy does with callbacks after the sunset.
//
// +kubebuilder:validation:Enum=Reject;Serve
type AfterSunset string

const (
	// AfterSunsetReject responds with 410 Gone; no backend is contacted.
	AfterSunsetReject AfterSunset = "Reject"
	// AfterSunsetServe keeps delivering, and the condition SunsetPassed reports
	// it.
	AfterSunsetServe AfterSunset = "Serve"
)
