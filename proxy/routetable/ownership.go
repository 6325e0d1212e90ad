// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// ownership.go: the rules by which a callback goes to the backend that began its
// login.

import (
	"errors"
	"fmt"
	"slices"
)

// Ownership defines which backend owns a login, and so gets its callback. A route
// without it gives every callback to its primary backend.
type Ownership struct {
	// Rules are tried in this order; the first that matches decides.
	Rules []OwnershipRule `json:"rules"`
	// Unowned is where callbacks go that no rule matches.
	Unowned Unowned `json:"unowned"`
	// Observe sends every callback to the unowned backend; the rules are counted
	// and decide nothing.
	Observe bool `json:"observe,omitempty"`
}

// OwnershipRule is one rung of the ladder. It has the one of Cookie,
// State, Value and Connection that belongs to its type.
type OwnershipRule struct {
	Type RuleType `json:"type"`
	// Backend owns what the rule matches; empty for type Connection.
	Backend string       `json:"backend,omitempty"`
	Cookie  *CookieMatch `json:"cookie,omitempty"`
	State   *StateMatch  `json:"state,omitempty"`
	// Value is the issuer or the audience.
	Value      string         `json:"value,omitempty"`
	Connection *ConnectionMap `json:"connection,omitempty"`
}

// RuleType is what a rule looks at.
type RuleType string

// The types of rules.
const (
	RuleCookie     RuleType = "Cookie"
	RuleState      RuleType = "State"
	RuleIssuer     RuleType = "Issuer"
	RuleAudience   RuleType = "Audience"
	RuleConnection RuleType = "Connection"
)

// CookieMatch matches a request with a cookie of a name, or of a name with a
// prefix, whose value has a prefix (which may be empty).
type CookieMatch struct {
	Name        string `json:"name,omitempty"`
	NamePrefix  string `json:"namePrefix,omitempty"`
	ValuePrefix string `json:"valuePrefix,omitempty"`
}

// StateMatch matches the value by which a service finds a login again: by a prefix,
// or by its length in bytes and its alphabet.
type StateMatch struct {
	Source   StateSource `json:"source"`
	Prefix   string      `json:"prefix,omitempty"`
	Length   int32       `json:"length,omitempty"`
	Alphabet Alphabet    `json:"alphabet,omitempty"`
}

// StateSource is where that value is.
type StateSource string

// The sources: parameters of OAuth and of SAML, and an attribute of SAML responses.
const (
	SourceState        StateSource = "State"
	SourceRelayState   StateSource = "RelayState"
	SourceInResponseTo StateSource = "InResponseTo"
)

// Alphabet is a set of bytes.
type Alphabet string

// The alphabets.
const (
	AlphabetDigits       Alphabet = "Digits"
	AlphabetHex          Alphabet = "Hex"
	AlphabetAlphanumeric Alphabet = "Alphanumeric"
	AlphabetBase64       Alphabet = "Base64"
	AlphabetBase64URL    Alphabet = "Base64URL"
)

// ConnectionMap gives the values of a parameter, or of a segment of the path, to
// backends.
type ConnectionMap struct {
	Parameter string `json:"parameter,omitempty"`
	// PathSegment counts the segments behind the path of a Prefix callback, from 1.
	PathSegment int32               `json:"pathSegment,omitempty"`
	Backends    []ConnectionBackend `json:"backends"`
}

// ConnectionBackend lists the values that belong to a backend, sorted.
type ConnectionBackend struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// Unowned defines what happens to callbacks that no rule matches.
type Unowned struct {
	Type UnownedType `json:"type"`
	// Backend is set for type Backend.
	Backend string `json:"backend,omitempty"`
}

// UnownedType is Backend or Reject.
type UnownedType string

// The types: Backend delivers to a backend, Reject refuses.
const (
	UnownedBackend UnownedType = "Backend"
	UnownedReject  UnownedType = "Reject"
)

// The maxima of ownership, the same as the CRD's. With them, the encoding of a route
// stays below the limit of a payload.
const (
	MaxOwnershipRules   = 16
	MaxConnectionValues = 10_000
	maxMatchBytes       = 64
	maxAudienceBytes    = 1024
	maxStateLength      = 1024
	maxPathSegment      = 16
)

// Receivers returns the backends to which callbacks go as the route is declared,
// failovers aside, each once: the primary one, or those that ownership names.
func (r *Route) Receivers() []*Backend {
	if r.Ownership == nil {
		return []*Backend{r.Primary()}
	}
	var names []string
	if r.Ownership.Unowned.Type == UnownedBackend {
		names = append(names, r.Ownership.Unowned.Backend)
	}
	if !r.Ownership.Observe {
		for i := range r.Ownership.Rules {
			rule := &r.Ownership.Rules[i]
			if rule.Connection == nil {
				names = append(names, rule.Backend)
				continue
			}
			for j := range rule.Connection.Backends {
				names = append(names, rule.Connection.Backends[j].Name)
			}
		}
	}
	var receivers []*Backend
	for i := range r.Backends {
		if slices.Contains(names, r.Backends[i].Name) {
			receivers = append(receivers, &r.Backends[i])
		}
	}
	return receivers
}

// checkOwnership refuses rules that cannot match, or that name no backend.
func checkOwnership(r *Route) error {
	o := r.Ownership
	if o == nil {
		return nil
	}
	if len(o.Rules) == 0 || len(o.Rules) > MaxOwnershipRules {
		return fmt.Errorf("%d ownership rules, 1 to %d are allowed", len(o.Rules), MaxOwnershipRules)
	}
	values := 0
	for i := range o.Rules {
		rule := &o.Rules[i]
		if err := rule.validate(r); err != nil {
			return fmt.Errorf("ownership rule %d (%s): %w", i+1, rule.Type, err)
		}
		if rule.Connection != nil {
			for j := range rule.Connection.Backends {
				values += len(rule.Connection.Backends[j].Values)
			}
		}
	}
	if values > MaxConnectionValues {
		return fmt.Errorf("%d connection values, at most %d are allowed in a route", values, MaxConnectionValues)
	}
	return o.checkUnowned(r)
}

func (o *Ownership) checkUnowned(r *Route) error {
	switch o.Unowned.Type {
	case UnownedBackend:
		if r.Backend(o.Unowned.Backend) == nil {
			return fmt.Errorf("unowned: %q is no backend of the route", o.Unowned.Backend)
		}
	case UnownedReject:
		if o.Unowned.Backend != "" || o.Observe {
			return errors.New("unowned: type Reject has no backend, and cannot be observed only")
		}
	default:
		return fmt.Errorf("unowned: type %q is not known", o.Unowned.Type)
	}
	return nil
}

func (rule *OwnershipRule) validate(r *Route) error {
	if !rule.hasItsMember() {
		return errors.New("has not exactly the member of its type")
	}
	switch {
	case rule.Type == RuleConnection:
		return rule.Connection.validate(r)
	case r.Backend(rule.Backend) == nil:
		return fmt.Errorf("%q is no backend of the route", rule.Backend)
	case rule.Type == RuleCookie:
		return rule.Cookie.validate()
	case r.Protocol == Opaque:
		return fmt.Errorf("protocol %s has no such value", Opaque)
	case rule.Type == RuleState:
		return rule.State.validate(r.Protocol)
	}
	return checkText(rule.Value, maxAudienceBytes)
}

// hasItsMember reports whether the rule has the member of its type, and no other.
func (rule *OwnershipRule) hasItsMember() bool {
	has := map[RuleType]bool{
		RuleCookie: rule.Cookie != nil, RuleState: rule.State != nil, RuleConnection: rule.Connection != nil,
		RuleIssuer: rule.Value != "" && rule.Type == RuleIssuer, RuleAudience: rule.Value != "" && rule.Type != RuleIssuer,
	}
	members := 0
	for _, is := range has {
		if is {
			members++
		}
	}
	return members == 1 && has[rule.Type] && (rule.Backend == "") == (rule.Type == RuleConnection)
}

func (m *CookieMatch) validate() error {
	if (m.Name == "") == (m.NamePrefix == "") {
		return errors.New("a cookie has either a name or a prefix of its name")
	}
	for _, text := range []string{m.Name, m.NamePrefix, m.ValuePrefix} {
		if err := checkText(text, 2*maxMatchBytes); err != nil {
			return err
		}
	}
	return nil
}

func (m *StateMatch) validate(p Protocol) error {
	if saml := m.Source == SourceRelayState || m.Source == SourceInResponseTo; saml != (p == SAML) || !saml && m.Source != SourceState {
		return fmt.Errorf("source %q is not one of protocol %s", m.Source, p)
	}
	if m.Prefix != "" {
		if m.Length != 0 || m.Alphabet != "" {
			return errors.New("a state has either a prefix, or a length and an alphabet")
		}
		return checkText(m.Prefix, maxMatchBytes)
	}
	if m.Length < 1 || m.Length > maxStateLength {
		return fmt.Errorf("length %d, 1 to %d are allowed", m.Length, maxStateLength)
	}
	switch m.Alphabet {
	case AlphabetDigits, AlphabetHex, AlphabetAlphanumeric, AlphabetBase64, AlphabetBase64URL:
		return nil
	}
	return fmt.Errorf("alphabet %q is not known", m.Alphabet)
}

func (m *ConnectionMap) validate(r *Route) error {
	if (m.Parameter == "") == (m.PathSegment == 0) || m.PathSegment < 0 || m.PathSegment > maxPathSegment {
		return errors.New("a connection is either in a parameter or in a segment of the path")
	}
	if m.PathSegment > 0 && !slices.ContainsFunc(r.Callbacks, func(c Callback) bool { return c.PathType == Prefix }) {
		return errors.New("a segment of the path needs a callback of path type Prefix")
	}
	if err := checkText(m.Parameter, maxMatchBytes); err != nil {
		return err
	}
	if len(m.Backends) == 0 || len(m.Backends) > MaxBackends {
		return fmt.Errorf("%d backends, 1 to %d are allowed", len(m.Backends), MaxBackends)
	}
	return m.checkValues(r)
}

// checkValues accepts sorted values that belong to one backend of the route each.
func (m *ConnectionMap) checkValues(r *Route) error {
	owners := make(map[string]string)
	for i := range m.Backends {
		b := &m.Backends[i]
		if r.Backend(b.Name) == nil {
			return fmt.Errorf("%q is no backend of the route", b.Name)
		}
		for j, value := range b.Values {
			if j > 0 && b.Values[j-1] >= value {
				return fmt.Errorf("values of backend %s are not sorted", b.Name)
			}
			if err := checkText(value, maxMatchBytes); err != nil || value == "" {
				return errors.Join(errors.New("a value must not be empty"), err)
			}
			if other, taken := owners[value]; taken {
				return fmt.Errorf("value %q belongs to backends %s and %s", value, other, b.Name)
			}
			owners[value] = b.Name
		}
	}
	return nil
}

// checkText accepts visible ASCII without quotes and backslashes, which JSON would
// escape.
func checkText(text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%d bytes, at most %d are allowed", len(text), most)
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return fmt.Errorf("byte %q is not allowed", c)
		}
	}
	return nil
}
