// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

// message.go formats the values that messages repeat.

import (
	"fmt"
	"strings"
	"time"
)

// Enumerate joins at most five values, so that messages stay readable.
func Enumerate(values []string) string {
	const most = 5
	if len(values) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(values[:most], ", "), len(values)-most)
	}
	return strings.Join(values, ", ")
}

// FormatTime formats a time as RFC 3339 in UTC.
func FormatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
