// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

// traffic.go: the rules for the counters.

import (
	"errors"
	"fmt"
	"strings"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// trafficAgrees: no count exceeds its total, quietSince is the last callback or
// the creation, and SunsetPassed counts the callbacks after the sunset.
func trafficAgrees(route *callbackv1alpha1.CallbackRoute, s status) error {
	t := route.Status.Traffic
	if t == nil || t.Callbacks == nil {
		return errors.New("the callbacks are not counted")
	}
	for _, n := range []*int64{t.AfterSunset, t.Repeats, t.Other, t.Refused} {
		if n != nil && *n <= 0 {
			return fmt.Errorf("a count is %d and present", *n)
		}
	}
	if t.AfterSunset != nil && *t.AfterSunset > *t.Callbacks || *t.Callbacks < 0 {
		return fmt.Errorf("%d callbacks, of which more came after the sunset", *t.Callbacks)
	}
	if t.Repeats != nil && *t.Repeats > *t.Callbacks {
		return fmt.Errorf("%d callbacks, of which more were repeats", *t.Callbacks)
	}
	return errors.Join(refusalAgrees(t), quietAgrees(route, s), lateCallbacksAgree(route, s))
}

// refusalAgrees: the last refused request has a time and a reason, or neither.
func refusalAgrees(t *callbackv1alpha1.Traffic) error {
	if t.LastRefusedReason != "" && (t.Refused == nil || t.LastRefusedTime == nil) || t.LastRefusedReason == "" && t.LastRefusedTime != nil {
		return fmt.Errorf("the last refused request has the reason %q and the time %s", t.LastRefusedReason, t.LastRefusedTime)
	}
	return nil
}

func quietAgrees(route *callbackv1alpha1.CallbackRoute, s status) error {
	if t := route.Status.Traffic; t.QuietSince != nil {
		since := route.CreationTimestamp
		if t.LastCallbackTime != nil {
			since = *t.LastCallbackTime
		}
		switch {
		case !s.isTrue(callbackv1alpha1.ConditionAccepted):
			return errors.New("not accepted, and quiet")
		case !t.QuietSince.Time.Equal(since.Time):
			return fmt.Errorf("quiet since %s, the last callback or the creation was at %s", t.QuietSince, since)
		}
	}
	return nil
}

// lateCallbacksAgree: SunsetPassed counts the callbacks after a sunset, unless the last
// of them came before this one.
func lateCallbacksAgree(route *callbackv1alpha1.CallbackRoute, s status) error {
	passed, t := s.find(callbackv1alpha1.ConditionSunsetPassed), route.Status.Traffic
	if passed == nil {
		return nil
	}
	counted := strings.Contains(passed.Message, " came after a sunset")
	since := s.isCurrent() == nil && t.LastCallbackTime != nil && !t.LastCallbackTime.Before(&route.Spec.SunsetTime)
	switch {
	case counted && t.AfterSunset == nil, since && !counted && t.AfterSunset != nil:
		return errors.New("the condition SunsetPassed and the traffic disagree about callbacks after the sunset")
	case counted && !strings.Contains(passed.Message, fmt.Sprintf("; %d callback", *t.AfterSunset)):
		return fmt.Errorf("%d callbacks came after a sunset, and SunsetPassed counts others", *t.AfterSunset)
	}
	return nil
}
