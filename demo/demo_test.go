// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"testing"

	. "github.com/onsi/gomega"
)

// The demo is its own end-to-end test: all it shows must hold.
func TestDemo(t *testing.T) {
	g := NewWithT(t)
	var told bytes.Buffer
	result, err := run(t.Context(), io.MultiWriter(&told, t.Output()), options{})
	g.Expect(err).NotTo(HaveOccurred())
	for _, check := range result {
		g.Expect(check.Held).To(BeTrue(), "%s: %s", check.Name, check.Seen)
	}
	g.Expect(result.failed()).To(BeFalse())
}
