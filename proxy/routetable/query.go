// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// query.go: callbacks that only query parameters tell apart.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Query is the query parameters that a request for a callback must have, in one
// spelling: name=value, sorted by name, joined by &. It is empty for a callback
// that needs none.
//
// A request has a parameter when its raw query, divided at each &, has the name
// exactly once and with exactly this value. Nothing is decoded.
type Query string

// Parameter is one parameter of a Query, raw.
type Parameter struct {
	Name, Value string
}

// MaxParameters bounds the parameters of a Query.
const MaxParameters = 4

const (
	maxParameterName  = 64
	maxParameterValue = 256
)

// responseParameters are those by which a response of a protocol is recognised,
// or which belong to one, in lower case: they differ from response to response,
// so they cannot tell callbacks apart. Package gate has the same list.
var responseParameters = []string{
	"code", "state", "iss", "error", "response", "id_token", "access_token",
	"samlresponse", "samlrequest", "samlart", "relaystate", "sigalg", "signature",
	"error_description", "error_uri", "token_type", "expires_in", "scope", "session_state",
	"ticket", "wresult", "auth_code", "logout_token",
}

// QueryOf returns the Query of parameters in any order.
func QueryOf(parameters []Parameter) Query {
	sorted := slices.SortedFunc(slices.Values(parameters), func(a, b Parameter) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
	pairs := make([]string, len(sorted))
	for i, p := range sorted {
		pairs[i] = p.Name + "=" + p.Value
	}
	return Query(strings.Join(pairs, "&"))
}

// Parameters returns the parameters, sorted by name.
func (q Query) Parameters() []Parameter {
	if q == "" {
		return nil
	}
	parameters := make([]Parameter, 0, MaxParameters)
	for pair := range strings.SplitSeq(string(q), "&") {
		name, value, _ := strings.Cut(pair, "=")
		parameters = append(parameters, Parameter{Name: name, Value: value})
	}
	return parameters
}

// Len returns the number of parameters.
func (q Query) Len() int {
	if q == "" {
		return 0
	}
	return strings.Count(string(q), "&") + 1
}

// Overlaps reports whether one request can have the parameters of both: unless a
// parameter of the two has different values.
func (q Query) Overlaps(other Query) bool {
	if q == other {
		return true
	}
	for _, own := range q.Parameters() {
		for _, theirs := range other.Parameters() {
			if own.Name == theirs.Name && own.Value != theirs.Value {
				return false
			}
		}
	}
	return true
}

// check refuses all spellings but the one, and parameters that tell no callbacks
// apart.
func (q Query) check() error {
	if q == "" {
		return nil
	}
	parameters := q.Parameters()
	if len(parameters) > MaxParameters {
		return fmt.Errorf("%d query parameters, at most %d are allowed", len(parameters), MaxParameters)
	}
	if QueryOf(parameters) != q {
		return errors.New("query parameters are not sorted, or not name=value")
	}
	for i, p := range parameters {
		if i > 0 && parameters[i-1].Name == p.Name {
			return errors.New("a query parameter is there twice")
		}
		if len(p.Name) > maxParameterName || len(p.Value) > maxParameterValue || !isQueryText(p.Name) || !isQueryText(p.Value) {
			return fmt.Errorf("name and value of a query parameter have 1 to %d and 1 to %d visible ASCII characters without & = # and ;",
				maxParameterName, maxParameterValue)
		}
		if slices.Contains(responseParameters, lower(p.Name)) {
			return fmt.Errorf("query parameter %s is a response's own, and cannot tell callbacks apart", p.Name)
		}
	}
	return nil
}

// checkDistinct refuses a callback that is not distinguished from an earlier one
// of its route: no other route or order decides between the two.
func checkDistinct(c *Callback, earlier []Callback) error {
	for i := range earlier {
		other := &earlier[i]
		if other.PathType == c.PathType && other.Path == c.Path && other.Query.Len() == c.Query.Len() && other.Query.Overlaps(c.Query) {
			return fmt.Errorf("callbacks %s and %s have the same path, and no query that distinguishes them", other.Name, c.Name)
		}
	}
	return nil
}

func isQueryText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '&' || c == '=' || c == '#' || c == ';' {
			return false
		}
	}
	return s != ""
}

// pathEntry holds the owners of one Exact path.
type pathEntry struct {
	// plain is the owner of requests that no alternative takes; zero: none.
	plain Match
	// alternatives need parameters, the ones with more of them first.
	alternatives []alternative
	// names are those of all parameters of the alternatives, sorted.
	names []string
}

// alternative is the owner of the requests that have some parameters.
type alternative struct {
	query Query
	// wanted are the values, by the place of their name in names.
	wanted []wantedValue
	match  Match
}

type wantedValue struct {
	name  int
	value string
}

// index orders the alternatives and indexes their names. Alternatives that one
// request can have alike are those of a route and of a hold: the route is first.
func (e *pathEntry) index() {
	slices.SortFunc(e.alternatives, func(a, b alternative) int {
		return cmp.Or(cmp.Compare(b.query.Len(), a.query.Len()), compareHeld(a.match, b.match), cmp.Compare(a.query, b.query))
	})
	for i := range e.alternatives {
		for _, p := range e.alternatives[i].query.Parameters() {
			e.names = append(e.names, p.Name)
		}
	}
	slices.Sort(e.names)
	e.names = slices.Clip(slices.Compact(e.names))
	for i := range e.alternatives {
		a := &e.alternatives[i]
		for _, p := range a.query.Parameters() {
			name, _ := slices.BinarySearch(e.names, p.Name)
			a.wanted = append(a.wanted, wantedValue{name: name, value: p.Value})
		}
	}
}

// compareHeld orders routes before holds.
func compareHeld(a, b Match) int {
	switch {
	case (a.Hold == nil) == (b.Hold == nil):
		return 0
	case a.Hold == nil:
		return -1
	}
	return 1
}

// find returns the owner of a request with this raw query. It reads the query
// once.
func (e *pathEntry) find(query string) (Match, bool) {
	if len(e.alternatives) > 0 && query != "" {
		if match, found := e.findAlternative(query); found {
			return match, true
		}
	}
	return e.plain, e.plain != Match{}
}

// usualNames is how many names need no memory.
const usualNames = 8

func (e *pathEntry) findAlternative(query string) (Match, bool) {
	type occurrence struct {
		times int
		value string
	}
	var usual [usualNames]occurrence
	found := usual[:]
	if len(e.names) > usualNames {
		found = make([]occurrence, len(e.names))
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, hasValue := strings.Cut(pair, "=")
		if i, is := slices.BinarySearch(e.names, name); is {
			found[i].times++
			if hasValue {
				found[i].value = value
			}
		}
	}
next:
	for i := range e.alternatives {
		for _, wanted := range e.alternatives[i].wanted {
			if f := &found[wanted.name]; f.times != 1 || f.value != wanted.value {
				continue next
			}
		}
		return e.alternatives[i].match, true
	}
	return Match{}, false
}
