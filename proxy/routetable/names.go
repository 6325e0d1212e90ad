// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// names.go: what is a hostname, and what is a name.

import "strings"

// isHostname accepts DNS names of letters, digits and hyphens in lower case
// that are not IPv4 addresses: the last label of those is a number.
func isHostname(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

func isLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '-' || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxNameBytes
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
