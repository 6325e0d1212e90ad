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

// Clip returns at most so many bytes of a text, and no half of a character: the API
// server would store another text, and each pass would write it again.
func Clip(text string, most int) string { return strings.ToValidUTF8(text[:min(len(text), most)], "") }
