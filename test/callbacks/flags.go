// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// flags.go: what the test programs' flags have in common.

import (
	"flag"
	"fmt"
	"strings"
)

// ParseFlags reads flags and refuses further arguments.
func ParseFlags(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// Repeated is a flag that may be repeated.
type Repeated []string

// String is part of flag.Value.
func (r *Repeated) String() string { return strings.Join(*r, ",") }

// Set adds a value.
func (r *Repeated) Set(value string) error {
	*r = append(*r, value)
	return nil
}
