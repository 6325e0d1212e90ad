// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/callbackproxy/callback-operator/test/schema"
)

// bases are valid objects; each case changes one in one place.
var bases = map[string]string{
	"CallbackRoute": `
apiVersion: callbackproxy.io/v1alpha1
kind: CallbackRoute
metadata: {name: acme-sso, namespace: default}
spec:
  proxyRef: {name: edge}
  hostnames: [auth.acme.com]
  protocol: OIDC
  callbacks: [{name: login, path: /oauth2/callback}]
  backends: [{name: blue, service: {name: legacy-idp, port: 8080}}]
  sunsetTime: "2026-12-31T00:00:00Z"`,
	"CallbackProxy": `
apiVersion: callbackproxy.io/v1alpha1
kind: CallbackProxy
metadata: {name: edge, namespace: default}
spec:
  mode: External
  hosts: [{hostname: auth.acme.com}]`,
	"CallbackProxyConfig": `
apiVersion: callbackproxy.io/v1alpha1
kind: CallbackProxyConfig
metadata: {name: edge, namespace: default}
spec: {part: Index, epoch: 1, generation: 1, reportKey: "` + key44 + `", hash: "` + hash64 + `", payload: "{}"}`,
}

var (
	hash64 = strings.Repeat("0af9", 16)
	key44  = strings.Repeat("Ab+/", 10) + "Abc="
)

// Each rule refuses what it is for, with a message for the author, and accepts
// the nearest valid value.
func TestRules_AcceptAndReject(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	for _, c := range cases {
		t.Run(c.kind+" "+c.at+" "+c.rule, func(t *testing.T) {
			t.Parallel()
			for _, patch := range c.accept {
				object := patched(t, c.kind, patch)
				if err := s.tryCreate(t.Context(), object); err != nil {
					t.Errorf("refuses %.200s: %v", patch, err)
				}
				if errs := mustSchemas(t)[c.kind].Admit(object); len(errs) > 0 {
					t.Errorf("without a server, refuses %.200s: %v", patch, errs)
				}
			}
			for _, patch := range c.reject {
				object := patched(t, c.kind, patch)
				if err := c.isRefusal(s.tryCreate(t.Context(), object)); err != nil {
					t.Errorf("%.200s: %v", patch, err)
				}
				if errs := mustSchemas(t)[c.kind].Admit(object); len(errs) == 0 {
					t.Errorf("without a server, accepts %.200s", patch)
				}
			}
		})
	}
}

// isRefusal returns the difference between an error and the one of the case.
func (c *ruleCase) isRefusal(err error) error {
	if err == nil {
		return errors.New("is accepted")
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return fmt.Errorf("is refused, but not as invalid: %w", err)
	}
	message := keywords[c.rule]
	if message == "" {
		message = regexp.QuoteMeta(c.rule)
	}
	for _, cause := range status.Status().Details.Causes {
		field := regexp.MustCompile(`\[[0-9]+\]`).ReplaceAllString(cause.Field, "[]")
		if c.isAt(field) && regexp.MustCompile(message).MatchString(cause.Message) {
			return nil
		}
	}
	return fmt.Errorf("is refused without the text %q at %s: %w", message, c.at, err)
}

// isAt allows for the two ways in which the API server names a place: a
// duplicate is named by the second element of its list, and a list of words by
// the word.
func (c *ruleCase) isAt(field string) bool {
	switch c.rule {
	case "list-type":
		return field == c.at+"[]" || field == c.at
	case "maxItems", "minItems":
		return strings.TrimSuffix(field, "[]") == c.at
	}
	return field == c.at || c.at == "" && (field == "<nil>" || field == "")
}

// patched is the base of a kind after a JSON merge patch (RFC 7386).
func patched(t testing.TB, kind, patch string) map[string]any {
	t.Helper()
	object, err := schema.ParseYAML([]byte(bases[kind]))
	if err != nil {
		t.Fatal(err)
	}
	change, err := schema.ParseYAML([]byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	return merge(object, change)
}

func merge(object, patch map[string]any) map[string]any {
	merged := map[string]any{}
	maps.Copy(merged, object)
	for key, value := range patch {
		below, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(merged, key)
		case isObject:
			old, _ := merged[key].(map[string]any)
			merged[key] = merge(old, below)
		default:
			merged[key] = value
		}
	}
	return merged
}

// W58: a user who writes a date without a time of day reads the time to write, and
// nothing else.
func TestW58_ADateAloneIsRefusedWithTheTimeToWrite(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	for patch, want := range map[string][]string{
		`{spec: {sunsetTime: "2027-01-28"}}`: {`spec.sunsetTime: "2027-01-28": a date needs a time of day: write "2027-01-28T00:00:00Z"`},
		`{spec: {sunsetTime: 2027-01-28, deprecationTime: 2027-01-01}}`: {
			`spec.deprecationTime: "2027-01-01": a date needs a time of day: write "2027-01-01T00:00:00Z"`,
			`spec.sunsetTime: "2027-01-28": a date needs a time of day: write "2027-01-28T00:00:00Z"`,
		},
	} {
		var status apierrors.APIStatus
		if err := s.tryCreate(t.Context(), patched(t, "CallbackRoute", patch)); !errors.As(err, &status) {
			t.Fatalf("%s: %v", patch, err)
		}
		var got []string
		for _, cause := range status.Status().Details.Causes {
			_, text, _ := strings.Cut(cause.Message, ": ")
			got = append(got, cause.Field+": "+text)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: the causes are\n%s\nwant\n%s", patch, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
