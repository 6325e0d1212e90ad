// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// rowAt is a row of failures at these seconds before noon.
func rowAt(reason string, seconds ...int) FailureRow {
	row := FailureRow{InRow: int64(len(seconds))}
	for _, s := range seconds {
		row.Failures = append(row.Failures, routetable.CallbackFailure{Time: noon.Add(-time.Duration(s) * time.Second), Reason: reason})
	}
	return row
}

// W41: five failures in a row over all instances, until a success at any of them or
// five minutes without a failure. Only failures without a connection reach Ready.
func TestW41_JudgeOfFailures(t *testing.T) {
	t.Parallel()
	const refused, reset = routetable.FailureRefused, routetable.FailureReset
	for _, tc := range []struct {
		name    string
		success int // seconds before noon; 0: none
		rows    []FailureRow
		want    string
	}{
		{"none", 0, nil, ""},
		{"four", 0, []FailureRow{rowAt(refused, 40, 30, 20, 10)}, ""},
		{"five", 0, []FailureRow{rowAt(refused, 50, 40, 30, 20, 10)}, "5 at 1 unreached [connection refused] 290s"},
		{"five of two instances", 0, []FailureRow{rowAt(refused, 50, 40, 30), rowAt(reset, 20, 10)}, "5 at 2 [connection ended before a response connection refused] 290s"},
		{"a success before", 60, []FailureRow{rowAt(reset, 50, 40, 30, 20, 10)}, "5 at 1 [connection ended before a response] 290s"},
		{"a success between", 25, []FailureRow{rowAt(reset, 50, 40, 30, 20, 10)}, ""},
		{"a success after", 5, []FailureRow{rowAt(reset, 50, 40, 30, 20, 10)}, ""},
		{"a success elsewhere, and more since", 65, []FailureRow{rowAt(reset, 70, 50, 40, 30, 20), rowAt(reset, 10)}, "5 at 2 [connection ended before a response] 290s"},
		{"just old enough to end", 0, []FailureRow{rowAt(reset, 340, 330, 320, 310, 300)}, ""},
		{"just not", 0, []FailureRow{rowAt(reset, 340, 330, 320, 310, 299)}, "5 at 1 [connection ended before a response] 1s"},
		{"a pause of five minutes", 0, []FailureRow{rowAt(reset, 400, 390, 90, 80, 70)}, ""},
		{"a pause that is shorter", 0, []FailureRow{rowAt(reset, 400, 380, 90, 80, 70)}, "5 at 1 [connection ended before a response] 230s"},
		{"more than are listed", 0, []FailureRow{{InRow: 40, Failures: rowAt(reset, 5, 4, 3, 2, 1).Failures}}, "40 at 1 [connection ended before a response] 299s"},
	} {
		b := RecentBackend{Rows: tc.rows}
		if tc.success > 0 {
			b.LastSuccess = noon.Add(-time.Duration(tc.success) * time.Second)
		}
		got := ""
		if f := b.judge(noon); f != nil {
			got = fmt.Sprintf("%d at %d %v %gs", f.count, f.reporters, f.reasons, f.until.Sub(noon).Seconds())
			if f.unreached {
				got = strings.Replace(got, "[", "unreached [", 1)
			}
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		slices.Reverse(b.Rows)
		if f := b.judge(noon); (f != nil) != (tc.want != "") {
			t.Errorf("%s: another order gives another result", tc.name)
		}
	}
}

// Each reason that a proxy reports has words.
func TestW41_EachReasonHasWords(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{
		routetable.FailureRefused, routetable.FailureNoConnection, routetable.FailureReset, routetable.FailureTimeout,
		routetable.FailureMalformed, routetable.FailureTruncated,
	} {
		if !strings.Contains(describeFailure(reason), " ") {
			t.Errorf("%s is described as %q", reason, describeFailure(reason))
		}
	}
}

// W1: over half of at least 20 callbacks of all instances turn it on; it stays
// until 15 minutes went by in which over half never did.
func TestW1_ForwardingSuspect(t *testing.T) {
	t.Parallel()
	instance := func(callbacks, claims int64, ago time.Duration) Instance {
		i := Instance{Reached: true}
		i.Report.Forwarding = routetable.ForwardingUse{Callbacks: callbacks, Claims: claims, Networks: []string{"10.0.3.0/24"}}
		if ago >= 0 {
			i.Report.Forwarding.LastMost = noon.Add(-ago)
		}
		return i
	}
	for _, tc := range []struct {
		name      string
		was       bool
		instances []Instance
		want      bool
		next      time.Duration
	}{
		{"nothing", false, nil, false, 0},
		{"too few", false, []Instance{instance(19, 19, 0)}, false, 0},
		{"enough", false, []Instance{instance(20, 11, 0)}, true, 15 * time.Minute},
		{"half", false, []Instance{instance(20, 10, -1)}, false, 0},
		{"enough together", false, []Instance{instance(10, 10, time.Minute), instance(10, 1, -1)}, true, 14 * time.Minute},
		{"half together", false, []Instance{instance(10, 10, 0), instance(10, 0, -1)}, false, 0},
		{"few, and it was", true, []Instance{instance(1, 1, 0)}, true, 15 * time.Minute},
		{"it was, and is not for 14 minutes", true, []Instance{instance(0, 0, 14*time.Minute)}, true, time.Minute},
		{"it was, and is not for 15 minutes", true, []Instance{instance(90, 1, 15*time.Minute)}, false, 0},
		{"it was, and the instances are new", true, []Instance{instance(90, 0, -1)}, false, 0},
	} {
		proxy, fleet := &callbackv1alpha1.CallbackProxy{}, &Fleet{Instances: tc.instances}
		if tc.was {
			proxy.Status.Conditions = []metav1.Condition{{Type: callbackv1alpha1.ConditionForwardingSuspect, Status: metav1.ConditionTrue}}
		}
		got := forwardingSuspect(proxy, fleet, noon)
		if (got != nil) != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
			continue
		}
		var desired []metav1.Condition
		if got != nil {
			desired = []metav1.Condition{{Type: callbackv1alpha1.ConditionForwardingSuspect, Status: metav1.ConditionTrue}}
		}
		if next := nextForwarding(desired, fleet); next.IsZero() == tc.want || tc.want && !next.Equal(noon.Add(tc.next)) {
			t.Errorf("%s: the next change is at %s", tc.name, next)
		}
	}
}
