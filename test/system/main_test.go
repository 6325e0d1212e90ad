// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// main_test.go: the programs under test, the scale of this run, and the table at its end.

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// patience is how long something may take that normally happens at once, on a
// machine that does other work.
const patience = 30 * time.Second

// full is set for faults that last as long as the operator must survive them.
var full = os.Getenv("FAULTS") == "full"

// lasting chooses a fault's duration for this run.
func lasting(fast, whole time.Duration) time.Duration {
	if full {
		return whole
	}
	return fast
}

// times chooses the number of repetitions for this run.
func times(fast, whole int) int {
	if full {
		return whole
	}
	return fast
}

var binaries struct{ manager, proxy, assets string }

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait most of the time, so more of them run at once than there are
	// processors. A value on the command line wins.
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", "4")
	}
	code := runWithBinaries(m)
	table.print(os.Stdout)
	os.Exit(code)
}

func runWithBinaries(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "callback-system-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		binaries.assets, err = fixture.Assets(ctx, os.Stderr)
	}
	if err == nil {
		binaries.manager, binaries.proxy, err = fixture.BuildBinaries(ctx, dir, fixture.Build{Race: raceEnabled})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "system:", err)
		return 1
	}
	defer closeShared()
	return m.Run()
}
