// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import "slices"

// PrependRule puts a rule that breaks for no route before all others, and returns
// the undo. F11 injects defects with it.
func PrependRule(f func(route string)) (restore func()) { return insertRule(0, f) }

// AppendRule puts it behind all others.
func AppendRule(f func(route string)) (restore func()) { return insertRule(len(acceptance), f) }

func insertRule(at int, f func(route string)) (restore func()) {
	before := acceptance
	acceptance = slices.Insert(slices.Clone(before), at, rule(func(c *candidate) (string, string, bool) {
		f(c.route.Object.Name)
		return "", "", false
	}))
	return func() { acceptance = before }
}
