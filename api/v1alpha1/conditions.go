// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// The conditions of a CallbackRoute. Each carries the generation it describes.
// Accepted, ResolvedRefs, Programmed, BackendsHealthy and Ready are always
// present; Stalled, LoginsLooping, SunsetApproaching, SunsetPassed and Deprecated
// only while they are true, SunsetHeld only while the annotation is there. A
// CallbackProxy has Accepted, Programmed and Ready, and Stalled, ClockSuspect and
// ForwardingSuspect while they are true.
const (
	// ConditionAccepted is true when the route may be served: its spec is valid,
	// its CallbackProxy exists and grants the hosts to this namespace, no older
	// route has the same callback, and the policy is met. A route that was
	// accepted before and is refused now keeps its callbacks: they get 503.
	//
	// Reasons: Accepted, Invalid, Undecodable, ProxyNotFound, HostNotAllowed,
	// QuotaExceeded, Conflict, LifetimeExceedsPolicy, AfterSunsetNotAllowed,
	// OwnerRequired, NamespaceNotManaged, NameTaken.
	ConditionAccepted = "Accepted"

	// ConditionResolvedRefs is true when every backend exists and may be used
	// from this namespace.
	//
	// Unknown as long as the route is not accepted.
	//
	// Reasons: ResolvedRefs, BackendNotFound, RefNotPermitted, InvalidBackend,
	// UnsupportedProtocol, NotAccepted.
	ConditionResolvedRefs = "ResolvedRefs"

	// ConditionProgrammed is true when all ready instances of the CallbackProxy
	// report a config that contains this generation.
	//
	// Reasons: Programmed, Pending, NoReadyInstances, NotAccepted,
	// RefusedByProxy, NotDeployed, ListenerMismatch.
	ConditionProgrammed = "Programmed"

	// ConditionBackendsHealthy is the health of the backends: what the instances
	// observe, and at once what EndpointSlices contain. Unknown when nothing
	// measures them, or the route is not accepted.
	//
	// False names the backends and how many instances observe it. A route whose
	// callbacks a failover can take stays Ready. With reason CallbacksFailing it
	// stays Ready too, unless no connection to the backend can be made: clients can
	// provoke other failures.
	//
	// Reasons: BackendsHealthy, BackendUnhealthy, NoReadyEndpoints,
	// CallbackPathNotServed, CallbacksFailing, NotMeasured, NotAccepted,
	// SunsetPassed.
	ConditionBackendsHealthy = "BackendsHealthy"

	// ConditionReady is the summary: callbacks are served as declared. After a
	// planned sunset with afterSunset Reject it stays true, with reason
	// SunsetPassed, once all ready instances respond with 410: that is what was
	// declared. A sunset that lay in the past when its generation was first
	// observed is Ready=False with reason SunsetPassed.
	//
	// Reasons: Ready, SunsetPassed, or the reason of the condition that prevents
	// it.
	ConditionReady = "Ready"

	// ConditionStalled is true while the object is refused for a reason that
	// waiting does not end, so that tools fail instead of waiting: for Invalid at
	// once; for Undecodable, a broken policy and InvalidBackend after 60 seconds
	// without a change.
	//
	// Reasons: the reason of the refusal.
	ConditionStalled = "Stalled"

	// ConditionDeprecated is true from deprecationTime on.
	//
	// Reasons: Deprecated.
	ConditionDeprecated = "Deprecated"

	// ConditionSunsetApproaching is true from the first of the CallbackProxy's
	// sunsetWarningDays on, until sunsetTime. Each of them is an event.
	//
	// Reasons: SunsetApproaching.
	ConditionSunsetApproaching = "SunsetApproaching"

	// ConditionSunsetPassed is true from sunsetTime on. Its message contains what
	// happens to callbacks now, and whether any still come.
	//
	// Reasons: SunsetPassed.
	ConditionSunsetPassed = "SunsetPassed"

	// ConditionSunsetHeld is there while the annotation HoldAnnotation is: True
	// when callbacks are served past sunsetTime because of it, or will be;
	// False when it has no effect.
	//
	// Reasons: SunsetHeld, HoldWithoutReason, HoldExpired.
	ConditionSunsetHeld = "SunsetHeld"

	// ConditionClockSuspect is true while the clock of an instance differs from
	// the API server's by more than an hour; the instance then closes no route by
	// its own clock.
	//
	// Reasons: ClockSuspect.
	ConditionClockSuspect = "ClockSuspect"

	// ConditionForwardingSuspect is true while most callbacks, of 20 or more in
	// five minutes, claim https in X-Forwarded-Proto or Forwarded and come from
	// peers that are not in spec.forwarding.trustedProxies, until 15 minutes without
	// that. It has no influence on Ready.
	//
	// Reasons: ForwardingSuspect.
	ConditionForwardingSuspect = "ForwardingSuspect"

	// ConditionLoginsLooping is true while browsers come to the route with one
	// login after the other within seconds, until 15 minutes without that: their
	// logins do not complete, most often because they begin at another backend than
	// the one that gets the callbacks. It has no influence on Ready.
	//
	// Reasons: LoginsLooping.
	ConditionLoginsLooping = "LoginsLooping"
)

// Reasons of the condition Accepted.
const (
	// ReasonAccepted: the route may be served.
	ReasonAccepted = "Accepted"
	// ReasonInvalid: a rule that the schema cannot express is broken.
	ReasonInvalid = "Invalid"
	// ReasonUndecodable: the stored object cannot be read as this version.
	ReasonUndecodable = "Undecodable"
	// ReasonProxyNotFound: spec.proxyRef names no CallbackProxy.
	ReasonProxyNotFound = "ProxyNotFound"
	// ReasonHostNotAllowed: the CallbackProxy does not grant a host of the route
	// to the route's namespace.
	ReasonHostNotAllowed = "HostNotAllowed"
	// ReasonQuotaExceeded: the namespace has as many older routes at this
	// CallbackProxy as its policy allows.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonConflict: an older route has the same callback; it is named.
	ReasonConflict = "Conflict"
	// ReasonLifetimeExceedsPolicy: sunsetTime is further from the creation
	// than the policy allows.
	ReasonLifetimeExceedsPolicy = "LifetimeExceedsPolicy"
	// ReasonAfterSunsetNotAllowed: the policy does not allow the value.
	ReasonAfterSunsetNotAllowed = "AfterSunsetNotAllowed"
	// ReasonOwnerRequired: the policy requires spec.owner.
	ReasonOwnerRequired = "OwnerRequired"
	// ReasonNamespaceNotManaged: the operator was not given the namespace, so it
	// cannot run a Deployment there (CallbackProxy only).
	ReasonNamespaceNotManaged = "NamespaceNotManaged"
	// ReasonNameTaken: an object that the operator would create exists and
	// belongs to another owner (CallbackProxy only).
	ReasonNameTaken = "NameTaken"
)

// Reasons of the condition ResolvedRefs.
const (
	// ReasonResolvedRefs: every backend exists and may be used.
	ReasonResolvedRefs = "ResolvedRefs"
	// ReasonBackendNotFound: the Service or its port does not exist in the
	// route's own namespace.
	ReasonBackendNotFound = "BackendNotFound"
	// ReasonRefNotPermitted: the Service is in another namespace and absent,
	// without the port, or without a ReferenceGrant. The message does not
	// distinguish the cases, as that would disclose what exists there.
	ReasonRefNotPermitted = "RefNotPermitted"
	// ReasonInvalidBackend: the Service is one that is never dialled, such as
	// type ExternalName or the API server itself.
	ReasonInvalidBackend = "InvalidBackend"
	// ReasonUnsupportedProtocol: the Service's port has an appProtocol that the
	// proxy cannot speak yet: TLS or HTTP/2.
	ReasonUnsupportedProtocol = "UnsupportedProtocol"
)

// Reasons of the condition Programmed.
const (
	// ReasonProgrammed: every ready instance acknowledged.
	ReasonProgrammed = "Programmed"
	// ReasonPending: instances have not acknowledged yet; they are named.
	ReasonPending = "Pending"
	// ReasonNoReadyInstances: the CallbackProxy has no ready pod.
	ReasonNoReadyInstances = "NoReadyInstances"
	// ReasonNotAccepted: the route is not part of the config, so its backends
	// were not looked up either.
	ReasonNotAccepted = "NotAccepted"
	// ReasonRefusedByProxy: an instance refused the published config.
	ReasonRefusedByProxy = "RefusedByProxy"
	// ReasonNotDeployed: the API server refused an object of the fleet, such as
	// its Deployment (CallbackProxy only).
	ReasonNotDeployed = "NotDeployed"
	// ReasonListenerMismatch: an instance listens on another port than
	// spec.listener.port (CallbackProxy only).
	ReasonListenerMismatch = "ListenerMismatch"
)

// Reasons of the condition BackendsHealthy, and of a backend's health.
const (
	// ReasonBackendsHealthy: every backend that is measured is healthy.
	ReasonBackendsHealthy = "BackendsHealthy"
	// ReasonBackendUnhealthy: instances cannot reach a backend, or its health
	// check fails.
	ReasonBackendUnhealthy = "BackendUnhealthy"
	// ReasonNoReadyEndpoints: the EndpointSlices of its Service hold no ready
	// endpoint.
	ReasonNoReadyEndpoints = "NoReadyEndpoints"
	// ReasonCallbackPathNotServed: the backend responded to the path probe
	// with 404, 405 or 5xx.
	ReasonCallbackPathNotServed = "CallbackPathNotServed"
	// ReasonCallbacksFailing: the backend did not answer the last five callbacks or
	// more, until one gets a response, or none failed for five minutes.
	ReasonCallbacksFailing = "CallbacksFailing"
	// ReasonNotMeasured: no backend has a health check, or no instance has
	// measured one yet.
	ReasonNotMeasured = "NotMeasured"
)

// Reasons of the condition SunsetHeld.
const (
	// ReasonSunsetHeld: the sunset is held, at most until the policy's maximum.
	ReasonSunsetHeld = "SunsetHeld"
	// ReasonHoldWithoutReason: the annotation is empty and has no effect.
	ReasonHoldWithoutReason = "HoldWithoutReason"
	// ReasonHoldExpired: the policy allows no longer hold.
	ReasonHoldExpired = "HoldExpired"
)

// Reasons of Ready, Deprecated, SunsetApproaching, SunsetPassed, ClockSuspect,
// ForwardingSuspect and LoginsLooping.
const (
	// ReasonReady: callbacks are served as declared.
	ReasonReady = "Ready"
	// ReasonDeprecated: deprecationTime has come.
	ReasonDeprecated = "Deprecated"
	// ReasonSunsetApproaching: sunsetTime is near.
	ReasonSunsetApproaching = "SunsetApproaching"
	// ReasonSunsetPassed: sunsetTime has come.
	ReasonSunsetPassed = "SunsetPassed"
	// ReasonClockSuspect: a clock jumped, or differs from the API server's.
	ReasonClockSuspect = "ClockSuspect"
	// ReasonForwardingSuspect: the proxies in front seem not to be trusted.
	ReasonForwardingSuspect = "ForwardingSuspect"
	// ReasonLoginsLooping: logins begin again and again.
	ReasonLoginsLooping = "LoginsLooping"
)
