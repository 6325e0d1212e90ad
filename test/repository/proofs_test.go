// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repository

import (
	"regexp"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
)

var (
	namedTest = regexp.MustCompile("`(Test[A-Z0-9][A-Za-z0-9_]*)`")
	testFunc  = regexp.MustCompile(`(?m)^func (Test[A-Z0-9][A-Za-z0-9_]*)\(`)
)

// A page names a test as a proof.
func TestPages_NameTestsThatExist(t *testing.T) {
	var exist []string
	for _, file := range files(t, "_test.go") {
		for _, match := range testFunc.FindAllStringSubmatch(read(t, file), -1) {
			exist = append(exist, match[1])
		}
	}
	named := 0
	var unknown []string
	for _, page := range files(t, ".md") {
		for _, match := range namedTest.FindAllStringSubmatch(read(t, page), -1) {
			named++
			if !slices.Contains(exist, match[1]) {
				unknown = append(unknown, page+" names "+match[1])
			}
		}
	}
	g := NewWithT(t)
	g.Expect(named).To(BeNumerically(">", 20))
	g.Expect(unknown).To(BeEmpty())
}
