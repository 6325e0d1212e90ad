// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repository

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const trafficPage = "docs/legitimate-traffic.md"

var (
	// trafficRow is a row of the page: form, result, tests.
	trafficRow = regexp.MustCompile("(?m)^\\| (.+) \\| (.+) \\| (`Test.+`) \\|$")
	rowTest    = regexp.MustCompile("`(Test[A-Za-z0-9_]+)(?:/([A-Za-z0-9_]+))?`")
	// formCase is a case of TestLegitimateForms: its name, and at the end of the
	// line the status, the two counts, and what the backend sees.
	formCase = regexp.MustCompile(`(?m)^\t\t\{"(\w+)", routetable\.\w+, .*, (\d{3}), (\d), (\d), (".*")`)
)

// formResults are the results of the cases of TestLegitimateForms, in the words of
// the page.
func formResults(t *testing.T) map[string]string {
	t.Helper()
	results := map[string]string{}
	for _, found := range formCase.FindAllStringSubmatch(read(t, "proxy/legitimate_test.go"), -1) {
		status, callbacks, sees := found[2], found[3], found[5]
		// A line of code may go on after an empty string.
		switch {
		case strings.HasPrefix(sees, `""`):
			results[found[1]] = status
		case callbacks == "1":
			results[found[1]] = "delivered"
		default:
			results[found[1]] = "relayed"
		}
	}
	return results
}

// The page lists at least 60 forms. Each row names tests that exist, and each case
// of TestLegitimateForms has a row with the result that the case requires.
func TestTrafficPage_AgreesWithTheTests(t *testing.T) {
	g := NewWithT(t)
	var exist []string
	for _, file := range files(t, "_test.go") {
		for _, match := range testFunc.FindAllStringSubmatch(read(t, file), -1) {
			exist = append(exist, match[1])
		}
	}
	results := formResults(t)
	g.Expect(len(results)).To(BeNumerically(">", 50))
	rows := trafficRow.FindAllStringSubmatch(read(t, trafficPage), -1)
	g.Expect(len(rows)).To(BeNumerically(">=", 60))
	listed := map[string]bool{}
	for _, row := range rows {
		for _, named := range rowTest.FindAllStringSubmatch(row[3], -1) {
			g.Expect(slices.Contains(exist, named[1])).To(BeTrue(), "%s: %s does not exist", row[1], named[1])
			if named[2] == "" {
				continue
			}
			listed[named[2]] = true
			g.Expect(results).To(HaveKey(named[2]), row[1])
			g.Expect(row[2]).To(HavePrefix(results[named[2]]), "%s: the test requires another result", row[1])
		}
	}
	for name := range results {
		g.Expect(listed).To(HaveKey(name), "no row names this case")
	}
}

var fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz[A-Za-z0-9_]+)\(`)

// Each fuzz target begins with inputs that are committed.
func TestFuzzTargets_HaveACorpus(t *testing.T) {
	g := NewWithT(t)
	all := files(t, "")
	targets := 0
	for _, file := range files(t, "_test.go") {
		for _, match := range fuzzFunc.FindAllStringSubmatch(read(t, file), -1) {
			targets++
			corpus := strings.TrimSuffix(file, file[strings.LastIndex(file, "/")+1:]) + "testdata/fuzz/" + match[1] + "/"
			has := slices.ContainsFunc(all, func(name string) bool { return strings.HasPrefix(name, corpus) })
			g.Expect(has).To(BeTrue(), "%s is empty: run make fuzz and commit inputs that reach new code", corpus)
		}
	}
	g.Expect(targets).To(BeNumerically(">=", 12))
}
