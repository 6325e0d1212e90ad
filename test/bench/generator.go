// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

// generator.go: an open loop of requests on kept connections.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// connections is how many connections of clients a generator keeps. More
// requests than these wait for one, and their wait counts.
const connections = 64

// generator sends one load to one proxy, each request at its time, whether or
// not the ones before it have a response. The latency of a request begins when
// it is due, so a proxy that stops for a moment is measured with all requests
// that fell into that moment.
type generator struct {
	address string
	load    *load
	// hosts is over how many hosts the requests go, in turn.
	hosts int

	jobs      chan job
	completed atomic.Int64
	mu        sync.Mutex
	latencies []time.Duration
	failures  []error
}

// job is one request.
type job struct {
	due      time.Time
	host     int
	measured bool
}

// window is a part of a run that is measured.
type window struct {
	completed int
	latencies []time.Duration
	failures  []error
}

// send runs the load: first unmeasured, then for the duration. begin and end are
// called at the bounds of the measured part, which ends with its last response.
func (g *generator) send(ctx context.Context, warmUp, duration time.Duration, begin, end func()) (window, error) {
	warm := int(warmUp.Seconds() * float64(g.load.perSecond))
	total := warm + int(duration.Seconds()*float64(g.load.perSecond))
	g.jobs = make(chan job, total)
	var clients sync.WaitGroup
	for range connections {
		c, err := newClient(ctx, g.address, g.load)
		if err != nil {
			close(g.jobs)
			clients.Wait()
			return window{}, err
		}
		clients.Go(func() { g.serve(c) })
	}
	interval := time.Second / time.Duration(g.load.perSecond)
	start := time.Now()
	var before int64
	for n := 0; n < total && ctx.Err() == nil; n++ {
		due := start.Add(time.Duration(n) * interval)
		sleepUntil(due)
		if n == warm {
			before = g.completed.Load()
			begin()
		}
		g.jobs <- job{due: due, host: n * hostStep % g.hosts, measured: n >= warm}
	}
	close(g.jobs)
	clients.Wait()
	end()
	completed := g.completed.Load() - before
	slices.Sort(g.latencies)
	return window{completed: int(completed), latencies: g.latencies, failures: g.failures}, ctx.Err()
}

// hostStep is the distance between the hosts of two requests, a prime number, so
// that a short run also reaches hosts far apart.
const hostStep = 7919

// sleepUntil sleeps by a system call of its own: the runtime's timers wake up to
// a millisecond late when a process waits for the network.
func sleepUntil(t time.Time) {
	for {
		left := time.Until(t)
		if left <= 0 {
			return
		}
		request := syscall.NsecToTimespec(left.Nanoseconds())
		_ = syscall.Nanosleep(&request, nil) // early after a signal: the loop goes on
	}
}

func (g *generator) serve(c *client) {
	defer c.close()
	for j := range g.jobs {
		err := c.exchange(j.host)
		latency := time.Since(j.due)
		g.completed.Add(1)
		if err == nil && !j.measured {
			continue
		}
		g.mu.Lock()
		if err != nil {
			g.failures = append(g.failures, err)
		} else {
			g.latencies = append(g.latencies, latency)
		}
		g.mu.Unlock()
	}
}

// client is one connection.
type client struct {
	net.Conn
	load    *load
	message []byte
	buffer  [8 << 10]byte
}

func newClient(ctx context.Context, address string, l *load) (*client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to the proxy: %w", err)
	}
	return &client{Conn: conn, load: l, message: bytes.Clone(l.message)}, nil
}

func (c *client) close() { _ = c.Conn.Close() }

// serials are the serial numbers of all requests of this run.
var serials atomic.Int64

// putDigits writes the last digits of a number.
func putDigits(to []byte, n int64) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

const exchangeTimeout = 10 * time.Second

var errResponse = errors.New("response is not the backend's, or has another end than its head")

// exchange sends the request for a host and reads the response, which has no
// body.
func (c *client) exchange(host int) error {
	putDigits(c.message[c.load.hostAt:][:hostDigits], int64(host))
	putDigits(c.message[c.load.serialAt:][:len(serial)], serials.Add(1))
	if err := c.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return err
	}
	if _, err := c.Write(c.message); err != nil {
		return err
	}
	head := c.buffer[:0]
	status := []byte("HTTP/1.1 302 ")
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		n, err := c.Read(c.buffer[len(head):])
		if err != nil {
			return err
		}
		head = c.buffer[:len(head)+n]
		if len(head) >= len(status) && !bytes.HasPrefix(head, status) || len(head) == len(c.buffer) {
			return errResponse
		}
	}
	return nil
}

// percentile returns a percentile of sorted values.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}
