// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"testing"

	. "github.com/onsi/gomega"
)

// The demo is an end-to-end test: every check must hold.
func TestDemo(t *testing.T) {
	g := NewWithT(t)
	var printed bytes.Buffer
	result, err := run(t.Context(), io.MultiWriter(&printed, t.Output()), options{})
	g.Expect(err).NotTo(HaveOccurred())
	for _, check := range result {
		g.Expect(check.Held).To(BeTrue(), "%s: %s", check.Name, check.Observed)
	}
	g.Expect(result.haveFailed()).To(BeFalse())
}
