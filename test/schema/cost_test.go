// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"fmt"
	"testing"

	"github.com/callbackproxy/callback-operator/test/schema"
)

// B19: what the rules of a CRD may cost, by the API server's own estimate,
// stays under a fifth of what it allows, for each rule and for all together.
func TestB19_RulesAreCheap(t *testing.T) {
	t.Parallel()
	for kind, s := range mustSchemas(t) {
		costs, err := s.Costs()
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if len(costs) == 0 {
			t.Errorf("%s has no rules", kind)
		}
		var total uint64
		table := ""
		for _, c := range costs {
			total += c.Cost
			table += fmt.Sprintf("\n%12d  %-32s %.60s", c.Cost, c.Path, c.Message)
			if c.Cost > schema.RuleCostLimit/5 {
				t.Errorf("%s%s: a rule may cost %d, a fifth of the limit is %d: %s", kind, c.Path, c.Cost, schema.RuleCostLimit/5, c.Message)
			}
		}
		t.Logf("%s: %d in total, %.1f %% of the limit%s", kind, total, float64(total)*100/schema.CRDCostLimit, table)
		if total > schema.CRDCostLimit/5 {
			t.Errorf("%s: all rules may cost %d, a fifth of the limit is %d", kind, total, schema.CRDCostLimit/5)
		}
	}
}
