// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

// run.go: one run of a proxy, and what the kernel counted of it.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/procfs"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// runner is a proxy that runs.
type runner struct {
	proxy
	process *fixture.Process
	address string
	// idle is its resident memory before the first load.
	idle uint64
}

const startTimeout = time.Minute

// start starts a proxy and checks that it does the work.
func (b *bench) start(ctx context.Context, p proxy) (*runner, error) {
	dir, err := os.MkdirTemp(b.dir, "proxy-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	at := place{dir: dir, port: ports[0], admin: ports[1], backend: b.backends[p.upstream], upstream: p.upstream}
	command, err := p.command(at)
	if err != nil {
		return nil, err
	}
	command.Name, command.Log = p.name, filepath.Join(dir, "output.log")
	r := &runner{proxy: p, address: net.JoinHostPort("127.0.0.1", strconv.Itoa(at.port))}
	if r.process, err = b.startOn(b.proxyCores, command); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if p.ready != "" {
		err = r.process.WaitReady(ctx, "http://127.0.0.1:"+strconv.Itoa(at.admin)+p.ready, nil)
	} else {
		err = waitAccepting(ctx, r.process, r.address)
	}
	for i := range b.loads {
		if err == nil {
			err = checkWork(r.address, &b.loads[i], p.upstream)
		}
	}
	if err == nil {
		_, r.idle, _, err = r.usage()
	}
	if err != nil {
		r.process.Kill()
		return nil, fmt.Errorf("%s: %w\n%s", p.name, err, r.process.Tail(20))
	}
	return r, nil
}

// startOn starts a command on some cores; none: on all.
func (b *bench) startOn(cores string, command fixture.Command) (*fixture.Process, error) {
	if cores != "" {
		command.Args = append([]string{"-c", cores, command.Path}, command.Args...)
		command.Path = "taskset"
	}
	return fixture.StartProcess(command)
}

func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("choose a port: %w", err)
		}
		defer func() { _ = listener.Close() }()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func waitAccepting(ctx context.Context, process *fixture.Process, address string) error {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-process.Done():
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("it does not accept connections: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// checkWork sends one request and compares what the backend got with what each
// proxy has to deliver.
func checkWork(address string, l *load, u upstream) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(exchangeTimeout))
	if _, err := conn.Write(l.echo); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return fmt.Errorf("%s is not relayed: %w", l.name, err)
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || response.Close {
		return fmt.Errorf("%s gets %s (close: %t), %w", l.name, response.Status, response.Close, err)
	}
	delivered, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(got)))
	if err != nil {
		return fmt.Errorf("%s is delivered as %q: %w", l.name, got, err)
	}
	header := delivered.Header
	switch {
	case delivered.Host != hostName(0), header.Get("X-Forwarded-Host") != hostName(0),
		header.Get("X-Forwarded-For") != "127.0.0.1", header.Get("X-Forwarded-Proto") != "http",
		header.Get("Cookie") != cookie, (u == fresh) != delivered.Close:
		return fmt.Errorf("%s is not delivered as the others deliver it:\n%s", l.name, got)
	}
	return nil
}

// measure sends one load and returns the CPU time of the proxy for each
// callback, and their latencies.
func (r *runner) measure(ctx context.Context, l *load, o *Options) (cell, error) {
	g := &generator{address: r.address, load: l, hosts: r.hosts}
	var cpu [2]time.Duration
	var failures [2]error
	note := func(i int) func() { return func() { cpu[i], _, _, failures[i] = r.usage() } }
	w, err := g.send(ctx, o.WarmUp, o.Duration, note(0), note(1))
	if err := errors.Join(err, failures[0], failures[1]); err != nil {
		return cell{}, fmt.Errorf("%s: %w", r.name, err)
	}
	if len(w.failures) > 0 {
		return cell{}, fmt.Errorf("%s, %s: %d of %d requests failed, the first with: %w\n%s",
			r.name, l.name, len(w.failures), w.completed, w.failures[0], r.process.Tail(5))
	}
	return cell{
		cpu: (cpu[1] - cpu[0]) / time.Duration(w.completed),
		p50: percentile(w.latencies, .5), p99: percentile(w.latencies, .99),
	}, nil
}

// usage sums up the CPU time and the memory of a proxy and its children.
func (r *runner) usage() (cpu time.Duration, resident, peak uint64, err error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return 0, 0, 0, fmt.Errorf("list processes: %w", err)
	}
	tree := map[int]bool{r.process.PID(): true}
	for _, process := range all { // parents have smaller numbers than their children
		if stat, err := process.Stat(); err == nil && tree[stat.PPID] {
			tree[process.PID] = true
		}
	}
	for pid := range tree {
		u, err := fixture.UsageOf(pid)
		if err != nil {
			return 0, 0, 0, err
		}
		ran, err := cpuTime(pid)
		if err != nil {
			return 0, 0, 0, err
		}
		cpu, resident, peak = cpu+ran, resident+u.Resident, peak+u.Peak
	}
	return cpu, resident, peak, nil
}

// cpuTime sums up the CPU time of the threads of a process, in nanoseconds of the
// scheduler: /proc/PID/stat counts in hundredths of a second, which are some
// percent of a short run.
func cpuTime(pid int) (time.Duration, error) {
	threads, err := procfs.AllThreads(pid)
	if err != nil {
		return 0, fmt.Errorf("list threads of process %d: %w", pid, err)
	}
	var sum time.Duration
	for _, thread := range threads {
		stat, err := thread.Schedstat()
		if err != nil {
			return 0, fmt.Errorf("read CPU time of process %d: %w", pid, err)
		}
		sum += time.Duration(stat.RunningNanoseconds)
	}
	return sum, nil
}
