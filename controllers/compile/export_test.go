// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import "slices"

// PrependRule puts a rule that breaks for no route before all others, and returns
// the undo. F11 injects defects with it.
func PrependRule(f func(route string)) (restore func()) {
	before := ownRules
	ownRules = slices.Insert(slices.Clone(before), 0, injected(f))
	return func() { ownRules = before }
}

// AppendRule puts it behind all others.
func AppendRule(f func(route string)) (restore func()) {
	before := rivalRules
	rivalRules = append(slices.Clone(before), injected(f))
	return func() { rivalRules = before }
}

func injected(f func(route string)) rule {
	return func(c *candidate) *Finding {
		f(c.route.Object.Name)
		return nil
	}
}
