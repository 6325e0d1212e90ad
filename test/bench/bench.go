// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bench compares proxies that do the same work. In: the programs of
// proxies; out: a table of the CPU time, the latency and the memory that a
// callback costs each. It starts them on the loopback interface, and stops only
// what it started. I/O.
package bench

// bench.go: the rounds, and the order of a run.

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// Options of a run.
type Options struct {
	// Programs is the directory with proxy, peer and caddy.
	Programs string
	// Rounds is how often each proxy gets each load; the table has the medians.
	Rounds int
	// Duration is how long one load is measured, after WarmUp.
	Duration, WarmUp time.Duration
	// Pause is between two loads of a round, for machines that others use too.
	Pause time.Duration
	// Rate is the number of requests in a second, SAMLRate that of SAML.
	Rate, SAMLRate int
	// Hosts are the numbers of hosts that the proxy of this project serves; each
	// has two routes.
	Hosts []int
	// Builds are other builds of that proxy to compare with, as NAME=FILE.
	Builds []string
	// Only, when not empty, are parts of the names of the proxies that run.
	Only []string
	// Progress gets a line now and then.
	Progress io.Writer
}

// bench is a run.
type bench struct {
	*Options
	dir string
	// backends are the addresses of the one that closes connections and of the one
	// that keeps them.
	backends map[upstream]string
	loads    []load
	// proxyCores is where the proxies run, otherCores where all others do; empty:
	// anywhere.
	proxyCores, otherCores string
	processes              []*fixture.Process
}

// Run measures all proxies that it finds.
func Run(ctx context.Context, o Options) (*Table, error) {
	dir, err := os.MkdirTemp("", "callback-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	b := &bench{Options: &o, dir: dir, backends: map[upstream]string{}, loads: newLoads(&o)}
	defer func() {
		for _, process := range b.processes {
			process.Kill()
		}
		_ = os.RemoveAll(dir)
	}()
	b.chooseCores()
	if err := b.startBackends(ctx); err != nil {
		return nil, err
	}
	runners, err := b.startProxies(ctx)
	if err != nil {
		return nil, err
	}
	return b.measure(ctx, runners)
}

// chooseCores gives the proxies a core of their own where there are two.
func (b *bench) chooseCores() {
	last := runtime.NumCPU() - 1
	if _, err := exec.LookPath("taskset"); err != nil || last < 1 {
		b.log("all processes share the cores: there is one, or no taskset")
		return
	}
	b.proxyCores, b.otherCores = "0", fmt.Sprintf("1-%d", last)
	move := exec.Command("taskset", "-a", "-c", "-p", b.otherCores, strconv.Itoa(os.Getpid()))
	if err := move.Run(); err != nil {
		b.log("this process shares all cores: " + err.Error())
	}
}

func (b *bench) log(line string) { _, _ = fmt.Fprintln(b.Progress, line) }

func (b *bench) startBackends(ctx context.Context) error {
	for _, u := range []upstream{fresh, kept} {
		ports, err := freePorts(1)
		if err != nil {
			return err
		}
		b.backends[u] = "127.0.0.1:" + strconv.Itoa(ports[0])
		process, err := b.startOn(b.otherCores, fixture.Command{
			Path: filepath.Join(b.Programs, "peer"), Args: []string{"backend", "-listen", b.backends[u], fmt.Sprintf("-keep=%t", u == kept)},
		})
		if err != nil {
			return err
		}
		b.processes = append(b.processes, process)
		if err := waitAccepting(ctx, process, b.backends[u]); err != nil {
			return fmt.Errorf("backend: %w\n%s", err, process.Tail(5))
		}
	}
	return nil
}

// startProxies starts all proxies. They stay until the end of the run: one that
// has no load uses no CPU.
func (b *bench) startProxies(ctx context.Context) ([]*runner, error) {
	others, missing := rivals(b.Options, fresh)
	own, err := ours(b.Options) //nolint:contextcheck // it writes a file and waits for nothing
	if err != nil {
		return nil, err
	}
	keeping, _ := rivals(b.Options, kept)
	for _, program := range missing {
		b.log("skipped, because it is not installed: " + program)
	}
	var runners []*runner
	for _, p := range slices.Concat(others, own, keeping) {
		if !b.isWanted(p.name) {
			continue
		}
		r, err := b.start(ctx, p)
		if err != nil {
			return nil, err
		}
		b.processes = append(b.processes, r.process)
		runners = append(runners, r)
	}
	if len(runners) == 0 {
		return nil, fmt.Errorf("no proxy has a name with one of %q", b.Only)
	}
	return runners, nil
}

func (b *bench) isWanted(name string) bool {
	for _, part := range b.Only {
		if strings.Contains(name, part) {
			return true
		}
	}
	return len(b.Only) == 0
}

// measure runs the rounds. In each all proxies get each load, one after the
// other and beginning with another one, so that a change of the machine in the
// middle of a run meets all alike.
func (b *bench) measure(ctx context.Context, runners []*runner) (*Table, error) {
	table := newTableOf(b, runners)
	for round := range b.Rounds {
		for i := range b.loads {
			l := &b.loads[i]
			if round+i > 0 && b.Pause > 0 {
				time.Sleep(b.Pause)
			}
			for n := range runners {
				at := (n + round) % len(runners)
				measured, err := runners[at].measure(ctx, l, b.Options)
				if err != nil {
					return nil, err
				}
				table.rows[at].cells[i] = append(table.rows[at].cells[i], measured)
			}
			b.log(fmt.Sprintf("round %d of %d: %s is measured", round+1, b.Rounds, l.name))
		}
	}
	for i, r := range runners {
		_, _, peak, err := r.usage()
		if err != nil {
			return nil, err
		}
		table.rows[i].idle, table.rows[i].peak = megabytes(r.idle), megabytes(peak)
	}
	return table, nil
}

func megabytes(bytes uint64) int { return int(math.Round(float64(bytes) / (1 << 20))) }
