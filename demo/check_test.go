// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"

	. "github.com/onsi/gomega"
)

func TestChecks_FailWithoutAnyCheck(t *testing.T) {
	NewWithT(t).Expect((&checks{}).haveFailed()).To(BeTrue())
}

func TestChecks_PrintTheObservationOfAFailedCheck(t *testing.T) {
	g := NewWithT(t)
	var c checks
	c.add(true, "the first", "not shown")
	g.Expect(c.haveFailed()).To(BeFalse())
	c.add(false, "the second one", "status %d\nof two lines", 503)
	g.Expect(c.haveFailed()).To(BeTrue())
	var out bytes.Buffer
	c.write(&out)
	g.Expect(out.String()).To(Equal("" +
		"  the first       ok\n" +
		"  the second one  FAILED: status 503\n" +
		"      of two lines\n"))
}

func TestQuote_MakesArgumentsSafeForAShell(t *testing.T) {
	NewWithT(t).Expect(quote([]string{"get", "-A", `[{"a":1}]`, "it's", "a b"})).To(Equal(
		[]string{"get", "-A", `'[{"a":1}]'`, `'it'\''s'`, "'a b'"}))
}

func TestIndent_KeepsLinesAndDropsBlankOutput(t *testing.T) {
	g := NewWithT(t)
	g.Expect(indent("one\n\ntwo\n\n")).To(Equal("  one\n\n  two\n"))
	g.Expect(indent(" \n")).To(BeEmpty())
}
