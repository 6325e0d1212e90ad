// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/prometheus/promql/parser"
)

// targetLabels are added by Prometheus when it scrapes.
var targetLabels = []string{"job", "instance", "namespace", "pod"}

// variables replaces Grafana's variables for durations. Other variables occur
// in strings only, which PromQL accepts unchanged.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "3h")

// check returns the problems of an expression: metrics that are not exported,
// and labels that no metric of the same part has. available are the labels that
// its result may have.
func (r registered) check(expression string) (problems, available []string) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(variables.Replace(expression))
	if err != nil {
		return []string{err.Error()}, nil
	}
	c := &checker{registered: r}
	available = c.labelsOf(parsed)
	return c.problems, available
}

type checker struct {
	registered

	problems []string
}

func (c *checker) report(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// labelsOf returns the labels that a part of an expression may have, and
// reports labels in it that no metric has.
func (c *checker) labelsOf(node parser.Node) []string {
	if selector, is := node.(*parser.VectorSelector); is {
		return c.labelsOfSelector(selector)
	}
	var found []string
	for _, child := range parser.Children(node) {
		found = append(found, c.labelsOf(child)...)
	}
	switch n := node.(type) {
	case *parser.AggregateExpr:
		c.need(found, n.Grouping, n)
		if n.Op == parser.COUNT_VALUES {
			found = append(found, text(n.Param))
		}
		if !n.Without {
			return slices.DeleteFunc(found, func(label string) bool {
				return !slices.Contains(n.Grouping, label) && (n.Op != parser.COUNT_VALUES || label != text(n.Param))
			})
		}
	case *parser.BinaryExpr:
		if n.VectorMatching != nil {
			for _, side := range []parser.Expr{n.LHS, n.RHS} {
				c.need((&checker{registered: c.registered}).labelsOf(side), n.VectorMatching.MatchingLabels, n)
			}
			c.need(found, n.VectorMatching.Include, n)
		}
	case *parser.Call:
		switch n.Func.Name {
		case "label_replace":
			c.need(found, []string{text(n.Args[3])}, n)
			found = append(found, text(n.Args[1]))
		case "label_join":
			for _, source := range n.Args[3:] {
				c.need(found, []string{text(source)}, n)
			}
			found = append(found, text(n.Args[1]))
		}
	}
	return found
}

func (c *checker) labelsOfSelector(n *parser.VectorSelector) []string {
	known, exported := c.registered[n.Name]
	for _, histogram := range histograms {
		if suffix, is := strings.CutPrefix(n.Name, histogram); is && slices.Contains([]string{"_bucket", "_sum", "_count"}, suffix) {
			known, exported = append(slices.Clone(c.registered[histogram]), "le"), true
		} else if is {
			exported = false
		}
	}
	if !exported {
		c.report("no program exports %s", n.Name)
	}
	known = slices.Concat(known, targetLabels)
	for _, matcher := range n.LabelMatchers {
		if matcher.Name != "__name__" {
			c.need(known, []string{matcher.Name}, n)
		}
	}
	return known
}

func (c *checker) need(available, named []string, where parser.Node) {
	for _, label := range named {
		if !slices.Contains(available, label) {
			c.report("there is no label %s in %s", label, where)
		}
	}
}

// text is the content of a string in an expression.
func text(node parser.Expr) string {
	for {
		switch n := node.(type) {
		case *parser.StringLiteral:
			return n.Val
		case *parser.ParenExpr:
			node = n.Expr
		default:
			return ""
		}
	}
}

func TestCheck_FindsMetricsThatAreNotExported(t *testing.T) {
	all := metricsOfBoth(t)
	for expression, complaint := range map[string]string{
		`callbackroute_info`: "",
		`rate(callbackproxy_requests_total{code=~"5..", pod="edge-1"}[5m])`:                                           "",
		`sum by (le) (rate(callbackproxy_request_duration_seconds_bucket[5m]))`:                                       "",
		`count_values by (name) ("generation", callbackproxy_instance_config_generation) * on (generation) vector(1)`: "there is no label generation",
		`sum by (generation) (count_values by (name) ("generation", callbackproxy_instance_config_generation))`:       "",
		`max by (route) (label_join(callbackroute_info, "route", "/", "namespace", "name"))`:                          "",
		`callbackroute_infos`:                            "no program exports callbackroute_infos",
		`callbackproxy_request_duration_seconds`:         "no program exports callbackproxy_request_duration_seconds",
		`callbackproxy_request_duration_seconds_buckets`: "no program exports callbackproxy_request_duration_seconds_buckets",
		`up`: "no program exports up",
		`callbackroute_info{host="auth.acme.test"}`:                                          "there is no label host in",
		`sum by (rute) (callbackproxy_requests_total)`:                                       "there is no label rute in",
		`sum without (rute) (callbackproxy_requests_total)`:                                  "there is no label rute in",
		`sum by (code) (sum by (route) (callbackproxy_requests_total))`:                      "there is no label code in",
		`callbackroute_info and on (route) callbackproxy_requests_total`:                     "there is no label route in",
		`callbackproxy_routes * on (namespace, name) group_left (owners) callbackroute_info`: "there is no label owners in",
		`label_replace(callbackroute_info, "backend", "$1", "active", "(.+)")`:               "there is no label active in",
		`label_join(callbackroute_info, "route", "/", "namespace", "route")`:                 "there is no label route in",
		`callbackroute_info{`: "parse error",
	} {
		problems, _ := all.check(expression)
		if complaint == "" {
			NewWithT(t).Expect(problems).To(BeEmpty(), expression)
		} else {
			NewWithT(t).Expect(problems).To(ContainElement(ContainSubstring(complaint)), expression)
		}
	}
}
