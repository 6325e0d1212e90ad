// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// patience is how long something may take that is normally there at once, on
// a machine that does other work.
const patience = 30 * time.Second

// full says that faults last as long as they should be survived, and not only
// as long as it takes to see their effect.
var full = os.Getenv("FAULTS") == "full"

// lasting chooses a fault's duration for this run.
func lasting(fast, whole time.Duration) time.Duration {
	if full {
		return whole
	}
	return fast
}

// times chooses how often something is done in this run.
func times(fast, whole int) int {
	if full {
		return whole
	}
	return fast
}

var binaries struct{ manager, proxy, assets string }

// loopback is the first two numbers of the addresses that this run has for
// itself: several can run on one machine.
var loopback string

// claimLoopback finds them, and gives them back when it is called.
func claimLoopback() (release func(), err error) {
	for n := 16; n < 250; n++ {
		loopback = fmt.Sprintf("127.%d", n)
		var claim net.Listener
		if claim, err = net.Listen("tcp", loopback+".0.1:8079"); err == nil {
			return func() { _ = claim.Close() }, nil
		}
	}
	return nil, fmt.Errorf("find loopback addresses that no other run has: %w", err)
}

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait most of the time: more of them fit at once than there
	// are processors. What a user says on the command line stays.
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
	dir, err := os.MkdirTemp("", "callback-faults-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		binaries.assets, err = fixture.Assets(ctx, os.Stderr)
	}
	if err == nil {
		binaries.manager, binaries.proxy, err = fixture.BuildBinaries(ctx, dir, fixture.Build{Race: raceEnabled})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 1
	}
	release, err := claimLoopback()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 1
	}
	defer release()
	defer closeShared()
	return m.Run()
}
