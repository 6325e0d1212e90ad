// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// date.go: the Date field, formatted once a second.

import (
	"net/http"
	"sync/atomic"
	"time"
)

type dateLine struct {
	second int64
	line   string
}

var lastDate atomic.Pointer[dateLine]

// DateLine returns the line of the Date field, RFC 9110 section 6.6.1.
func DateLine(now time.Time) string {
	second := now.Unix()
	if last := lastDate.Load(); last != nil && last.second == second {
		return last.line
	}
	next := &dateLine{second, "Date: " + now.UTC().Format(http.TimeFormat)}
	lastDate.Store(next)
	return next.line
}
