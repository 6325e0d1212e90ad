// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Ownership defines which backend owns a login, and so gets its callback. The rules
// read a request for routing only: they verify nothing and change no byte.
//
// +kubebuilder:validation:XValidation:rule="!has(self.enforcement) || self.enforcement != 'Observe' || self.unowned.type == 'Backend'",message="enforcement: Observe delivers every callback to the unowned backend: set unowned to {type: Backend, backend: <name>}"
type Ownership struct {
	// rules are tried in this order, and the first that matches decides. Rules for
	// what lives for one login (a transaction cookie, a prefix of state) belong
	// before rules for what lives longer (a session cookie, an issuer).
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Rules []OwnershipRule `json:"rules,omitempty"`
	// unowned defines what happens to callbacks that no rule matches.
	// +required
	Unowned Unowned `json:"unowned,omitzero"`
	// enforcement is Enforce (the default) or Observe: every callback goes to the
	// unowned backend, and the rules are only counted, so that they can be tried
	// before they decide.
	// +optional
	// +kubebuilder:default=Enforce
	Enforcement OwnershipEnforcement `json:"enforcement,omitempty"`
}

// OwnershipEnforcement defines whether the rules decide.
//
// +kubebuilder:validation:Enum=Enforce;Observe
type OwnershipEnforcement string

// The values.
const (
	OwnershipEnforce OwnershipEnforcement = "Enforce"
	OwnershipObserve OwnershipEnforcement = "Observe"
)

// OwnershipRule is one rule of ownership. It has the member of its type, and no
// other.
//
// +kubebuilder:validation:XValidation:rule="has(self.cookie) == (self.type == 'Cookie') && has(self.state) == (self.type == 'State') && has(self.issuer) == (self.type == 'Issuer') && has(self.audience) == (self.type == 'Audience') && has(self.connection) == (self.type == 'Connection')",message="a rule needs the member of its type and no other: type Cookie needs cookie, State needs state, Issuer needs issuer, Audience needs audience, Connection needs connection"
// +kubebuilder:validation:XValidation:rule="has(self.backend) == (self.type != 'Connection')",message="a rule needs backend, the name of the backend that owns what it matches; a rule of type Connection names backends in connection.backends instead"
type OwnershipRule struct {
	// type is what the rule looks at.
	// +required
	Type OwnershipRuleType `json:"type,omitempty"`
	// backend owns what the rule matches.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Backend string `json:"backend,omitempty"`
	// cookie matches a cookie that a backend sets when a login begins there.
	// +optional
	Cookie *CookieMatch `json:"cookie,omitempty"` //nolint:kubeapilinter // nil: another type
	// state matches the value by which a backend finds its login again.
	// +optional
	State *StateMatch `json:"state,omitempty"` //nolint:kubeapilinter // nil: another type
	// issuer matches the party that issued the response: the parameter iss (RFC
	// 9207), the claim iss of an ID token or of a JARM response, or the Issuer of a
	// SAML message that is in clear.
	// +optional
	Issuer *ValueMatch `json:"issuer,omitempty"` //nolint:kubeapilinter // nil: another type
	// audience matches one of the parties for which the response is: the claim aud,
	// or the Audience of a SAML assertion that is in clear.
	// +optional
	Audience *ValueMatch `json:"audience,omitempty"` //nolint:kubeapilinter // nil: another type
	// connection gives the values of a parameter or of a segment of the path to
	// backends, where each customer has its own.
	// +optional
	Connection *ConnectionMatch `json:"connection,omitempty"` //nolint:kubeapilinter // nil: another type
}

// OwnershipRuleType is what a rule looks at.
//
// +kubebuilder:validation:Enum=Cookie;State;Issuer;Audience;Connection
type OwnershipRuleType string

// The types.
const (
	OwnershipCookie     OwnershipRuleType = "Cookie"
	OwnershipState      OwnershipRuleType = "State"
	OwnershipIssuer     OwnershipRuleType = "Issuer"
	OwnershipAudience   OwnershipRuleType = "Audience"
	OwnershipConnection OwnershipRuleType = "Connection"
)

// MatchText is text that a rule compares: visible ASCII without quotes and
// backslashes.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:XValidation:rule="self.matches('^[!#-\\\\[\\\\]-~]+$')",message="must be visible ASCII without quotes and backslashes"
type MatchText string

// CookieMatch matches a cookie by its name. Names have case.
//
// +kubebuilder:validation:XValidation:rule="has(self.name) != has(self.namePrefix)",message="set either name, or namePrefix where the name ends with a value of its own"
type CookieMatch struct {
	// name of the cookie.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Name MatchText `json:"name,omitempty"`
	// namePrefix is what its name begins with.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	NamePrefix MatchText `json:"namePrefix,omitempty"`
	// valuePrefix is what its value begins with; any value when absent.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ValuePrefix MatchText `json:"valuePrefix,omitempty"`
}

// StateMatch matches a value by its prefix, or by its length and alphabet.
//
// +kubebuilder:validation:XValidation:rule="has(self.prefix) ? !has(self.length) && !has(self.alphabet) : has(self.length) && has(self.alphabet)",message="set either prefix, or both length and alphabet"
type StateMatch struct {
	// source is where the value is: State (the default for OAuth2 and OIDC),
	// RelayState (the default for SAML) or InResponseTo (SAML: the ID of the request,
	// which only responses to a request have).
	// +optional
	Source StateSource `json:"source,omitempty"`
	// prefix is what the value begins with. RelayState has at most 80 bytes, so a
	// service that marks its own keeps the mark short.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Prefix MatchText `json:"prefix,omitempty"`
	// length of the value in bytes.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Length int32 `json:"length,omitempty"`
	// alphabet has all bytes of the value.
	// +optional
	Alphabet Alphabet `json:"alphabet,omitempty"`
}

// StateSource is where a state value is.
//
// +kubebuilder:validation:Enum=State;RelayState;InResponseTo
type StateSource string

// The sources.
const (
	StateSourceState        StateSource = "State"
	StateSourceRelayState   StateSource = "RelayState"
	StateSourceInResponseTo StateSource = "InResponseTo"
)

// Alphabet is a set of characters: Digits (0-9), Hex (0-9, a-f, A-F), Alphanumeric
// (letters and digits), Base64 (those and + / =) or Base64URL (those and - _).
//
// +kubebuilder:validation:Enum=Digits;Hex;Alphanumeric;Base64;Base64URL
type Alphabet string

// ValueMatch matches one value, byte for byte.
type ValueMatch struct {
	// value to compare with.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Value MatchText `json:"value,omitempty"`
}

// ConnectionMatch gives values to backends. All rules of a route together have at
// most 10,000 values.
//
// +kubebuilder:validation:XValidation:rule="has(self.parameter) != has(self.pathSegment)",message="set either parameter or pathSegment"
type ConnectionMatch struct {
	// parameter is the name of the parameter, in the query or in a posted form, that
	// names the connection.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Parameter MatchText `json:"parameter,omitempty"`
	// pathSegment is which segment of the path names the connection, counted from 1
	// behind the path of a Prefix callback.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	PathSegment int32 `json:"pathSegment,omitempty"`
	// backends list which values belong to which backend.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Backends []ConnectionBackend `json:"backends,omitempty"`
}

// ConnectionBackend lists the values that belong to a backend.
type ConnectionBackend struct {
	// name of the backend.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// values belong to the backend. A list of this length is replaced as a whole.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10000
	Values []ConnectionValue `json:"values,omitempty"`
}

// ConnectionValue is one value: visible ASCII without quotes and backslashes.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:Pattern=`^[!#-\[\]-~]+$`
type ConnectionValue string

// Unowned defines what happens to callbacks that no rule matches.
//
// +kubebuilder:validation:XValidation:rule="has(self.backend) == (self.type == 'Backend')",message="type Backend needs backend, the name of the backend that gets them; type Reject has none"
type Unowned struct {
	// type is Backend (they go to a backend, for example the old service) or Reject
	// (they get 403, and reach no backend).
	// +required
	Type UnownedType `json:"type,omitempty"`
	// backend gets the callbacks that no rule matches.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Backend string `json:"backend,omitempty"`
}

// UnownedType is Backend or Reject.
//
// +kubebuilder:validation:Enum=Backend;Reject
type UnownedType string

// The types.
const (
	UnownedBackend UnownedType = "Backend"
	UnownedReject  UnownedType = "Reject"
)
