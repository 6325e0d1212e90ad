// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"maps"
	"regexp"
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// constraint is one requirement of a schema at one place: a rule, by its message,
// or a keyword.
type constraint struct {
	kind, at, rule string
}

// keywords are the API server's texts for what a keyword refuses, and those of
// rules whose message contains the value.
var keywords = map[string]string{
	"required":      `Required value`,
	"enum":          `Unsupported value`,
	"pattern":       `should match '`,
	"minLength":     `should be at least \d+ chars long`,
	"maxLength":     `may not be more than \d+ bytes|should be at most \d+ chars long`,
	"minItems":      `should have at least \d+ items`,
	"maxItems":      `must have at most \d+ items`,
	"minimum":       `should be greater than or equal to`,
	"maximum":       `should be less than or equal to`,
	"list-type":     `Duplicate value`,
	"type":          `must be of type`,
	"minProperties": `should have at least 1 properties`,
	wantTimeOfDay:   `a date needs a time of day: write "2027-01-28T00:00:00Z"`,
}

// neverReached are constraints that no object can break, and why.
var neverReached = map[constraint]string{
	{"CallbackRoute", "spec.timeouts", "minProperties"}:   "the only property has a default",
	{"CallbackProxy", "spec.listener", "minProperties"}:   "port has a default",
	{"CallbackProxy", "spec.forwarding", "minProperties"}: "externalScheme and hostFrom have defaults",
	{"CallbackProxy", "spec.limits", "minProperties"}:     "every property has a default",
	{"CallbackProxy", "spec.policy", "minProperties"}:     "every property has a default",
}

// constraintsOf lists the requirements of a kind's schema on metadata and spec. The
// status is written by the controller alone.
func constraintsOf(kind string, root *apiextensionsv1.JSONSchemaProps) []constraint {
	list := rulesAt(kind, "", root)
	spec := root.Properties["spec"]
	if slices.Contains(root.Required, "spec") {
		list = append(list, constraint{kind, "spec", "required"})
	}
	return append(list, walk(kind, "spec", &spec)...)
}

func walk(kind, at string, s *apiextensionsv1.JSONSchemaProps) []constraint {
	list := rulesAt(kind, at, s)
	for keyword, present := range map[string]bool{
		"enum":          len(s.Enum) > 0,
		"pattern":       s.Pattern != "",
		"minLength":     s.MinLength != nil,
		"maxLength":     s.MaxLength != nil,
		"minItems":      s.MinItems != nil,
		"maxItems":      s.MaxItems != nil,
		"minimum":       s.Minimum != nil,
		"maximum":       s.Maximum != nil,
		"minProperties": s.MinProperties != nil,
		"list-type":     s.XListType != nil && *s.XListType != "atomic",
	} {
		if present {
			list = append(list, constraint{kind, at, keyword})
		}
	}
	for _, name := range s.Required {
		list = append(list, constraint{kind, at + "." + name, "required"})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		if at+"."+name == "spec.hosts[].namespaces.selector" {
			continue // Kubernetes' own type
		}
		list = append(list, walk(kind, at+"."+name, &property)...)
	}
	if s.Items != nil && s.Items.Schema != nil {
		list = append(list, walk(kind, at+"[]", s.Items.Schema)...)
	}
	return list
}

func rulesAt(kind, at string, s *apiextensionsv1.JSONSchemaProps) []constraint {
	var list []constraint
	for _, rule := range s.XValidations {
		list = append(list, constraint{kind, at, rule.Message})
	}
	return list
}

// Every rule and every keyword of the schemas has an object that it accepts
// and one that it refuses, and no case outlives its rule.
func TestCases_CoverEveryConstraint(t *testing.T) {
	t.Parallel()
	covered := map[constraint]bool{}
	for _, c := range cases {
		key := constraint{c.kind, c.at, c.rule}
		if covered[key] {
			t.Errorf("%+v has two entries", key)
		}
		covered[key] = true
		if len(c.accept) == 0 || len(c.reject) == 0 {
			t.Errorf("%+v has %d accept and %d reject cases", key, len(c.accept), len(c.reject))
		}
	}
	inSchemas := map[constraint]bool{}
	for kind, s := range mustSchemas(t) {
		for _, want := range constraintsOf(kind, s.Props) {
			inSchemas[want] = true
			if _, never := neverReached[want]; !never && !covered[want] {
				t.Errorf("no case for %+v", want)
			}
		}
	}
	for key := range covered {
		if !inSchemas[key] && key.rule != "type" {
			t.Errorf("the case %+v belongs to no constraint", key)
		}
	}
	for key := range neverReached {
		if !inSchemas[key] {
			t.Errorf("%+v is no constraint any more", key)
		}
	}
	if len(inSchemas) < 50 {
		t.Errorf("only %d constraints were found", len(inSchemas))
	}
}

// Authors read the messages: each says what is wanted, without jargon.
func TestRules_HaveMessagesForAuthors(t *testing.T) {
	t.Parallel()
	jargon := regexp.MustCompile(`self\b|\bhas\(|matches\(|regex|CEL|failed rule`)
	for kind, s := range mustSchemas(t) {
		for _, c := range constraintsOf(kind, s.Props) {
			if _, keyword := keywords[c.rule]; !keyword && (len(c.rule) < 15 && c.rule != "must not contain //" || jargon.MatchString(c.rule)) && c.rule != "minProperties" {
				t.Errorf("%s %s: message %q", kind, c.at, c.rule)
			}
		}
	}
}
