// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks_test

import (
	"bytes"
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

func TestRunLoad_WritesTheOutcomeAsOneLine(t *testing.T) {
	g := NewWithT(t)
	green, blue := startBackend(t, "green", nil), startBackend(t, "blue", nil)
	var stdout bytes.Buffer
	g.Expect(callbacks.RunLoad(t.Context(), []string{
		"--name=run", "--target=" + green.Address(), "--host=auth.acme.test", "--path=/cb", "--rate=100", "--seconds=1",
		"--backend=green=" + green.Address(), "--backend=blue=" + blue.Address(), "--expect=green",
	}, &stdout)).To(Succeed())
	g.Expect(bytes.Count(stdout.Bytes(), []byte("\n"))).To(Equal(1))
	var o callbacks.Outcome
	g.Expect(json.Unmarshal(stdout.Bytes(), &o)).To(Succeed())
	g.Expect(o.IsClean()).To(BeTrue(), stdout.String())
	g.Expect(o.Sent).To(BeNumerically(">=", 90))
	g.Expect(o.Deliveries).To(Equal(map[string]int{"green": o.Sent}))
	g.Expect(o.Fresh).To(BeNumerically("~", o.Sent/2, 1))
}

func TestRunLoad_RefusesIncompleteFlags(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--target=127.0.0.1:1", "--path=/cb", "--rate=0"},
		{"--target=127.0.0.1:1", "--path=/cb", "--backend=blue"},
		{"--target=127.0.0.1:1", "--path=/cb", "more"},
		{"--target=127.0.0.1", "--path=/cb"},
	} {
		NewWithT(t).Expect(callbacks.RunLoad(t.Context(), args, nil)).NotTo(Succeed(), "%v", args)
	}
}
