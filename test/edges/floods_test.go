// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// floods_test.go: many clients that send, read or end nothing, against one proxy
// with little memory or few descriptors, and honest clients beside them.

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// memoryLimit is what the proxy may use.
	memoryLimit = 128 << 20
	// largeBytes is a response that no buffer of a connection holds.
	largeBytes = 16 << 20
)

// parts divides the floods of a short run.
func parts() int {
	if full {
		return 1
	}
	return 8
}

// flood is what hostile clients do.
type flood struct {
	name string
	// clients is how many there are.
	clients int
	// begin is what each sends at once; drip, when set, what it sends each second
	// after that.
	begin, drip string
	// reads: the client reads what it gets.
	reads bool
}

func head(method, target string, lines ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: " + authHost + "\r\n" + strings.Join(append(lines, ""), "\r\n")
}

const formType = "Content-Type: application/x-www-form-urlencoded"

// floods are those of F67 and F53.
var floods = []flood{
	{
		name: "bodies without their last byte", clients: 100, reads: true,
		begin: head("POST", "/cb", formType, "Content-Length: 1048576", "") + "code=" + strings.Repeat("c", 1<<20-1-len("code=")),
	},
	{name: "heads of 60 KB without an end", clients: 1000, reads: true, begin: head("GET", "/cb", "A: "+strings.Repeat("a", 60_000))},
	{name: "idle connections", clients: 5000, reads: true},
	{name: "a backend that hangs", clients: 4000, reads: true, begin: head("GET", "/hang?code=NUMBER", "")},
	{name: "slow heads", clients: 4000, reads: true, begin: head("GET", "/cb"), drip: "a: a\r\n"},
	{name: "slow bodies", clients: 4000, reads: true, begin: head("POST", "/cb", formType, "Content-Length: 8000", "") + "code=1", drip: "c"},
	{name: "slow readers", clients: 4000, begin: head("GET", "/large", "")},
}

// startFlooded is a backend that responds, hangs until it is released, or has a lot
// to say, by the path.
func startFlooded(t *testing.T) (address string, release func()) {
	t.Helper()
	over := make(chan struct{})
	large := []byte(page + "Content-Length: " + strconv.Itoa(largeBytes) + "\r\n\r\n" + strings.Repeat("a", largeBytes))
	address = serve(t, func(conn *net.TCPConn) {
		request := make([]byte, 4<<10)
		n, err := conn.Read(request)
		if err != nil {
			return
		}
		switch {
		case bytes.Contains(request[:n], []byte(" /hang")):
			<-over
		case bytes.Contains(request[:n], []byte(" /large")):
			_, _ = conn.Write(large)
		default:
			_, _ = io.WriteString(conn, page+"Connection: close\r\nContent-Length: 4\r\n\r\nfine")
			_ = conn.CloseWrite()
			_, _ = io.Copy(io.Discard, conn) // the rest of the request
		}
	})
	release = sync.OnceFunc(func() { close(over) })
	t.Cleanup(release)
	return address, release
}

// crowd are the connections of a flood.
type crowd struct {
	mu          sync.Mutex
	connections []net.Conn
	reading     sync.WaitGroup
	// statuses counts the responses by status, wrong those that are not constant.
	statuses map[string]int
	wrong    atomic.Int64
	stop     chan struct{}
}

// start opens the connections of a flood and returns when each has sent what it
// begins with.
func (f *flood) start(t *testing.T, address string) *crowd {
	t.Helper()
	c := &crowd{statuses: map[string]int{}, stop: make(chan struct{})}
	places := make(chan struct{}, 100)
	var opening sync.WaitGroup
	for i := range f.clients / parts() {
		places <- struct{}{}
		opening.Go(func() {
			defer func() { <-places }()
			conn, err := net.DialTimeout("tcp", address, patience)
			if err != nil {
				return // shed before it was accepted
			}
			c.mu.Lock()
			c.connections = append(c.connections, conn)
			c.mu.Unlock()
			if f.reads {
				c.reading.Go(func() { c.read(conn) })
			}
			_ = conn.SetWriteDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, strings.Replace(f.begin, "NUMBER", strconv.Itoa(i), 1)) // it may be shed meanwhile
		})
	}
	opening.Wait()
	if f.drip != "" {
		c.reading.Go(func() { c.drip(f.drip) })
	}
	return c
}

// read notes the one response of a connection.
func (c *crowd) read(conn net.Conn) {
	response, _ := io.ReadAll(conn)
	status, _, _ := strings.Cut(string(response), "\r\n")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[status]++
	if strings.HasPrefix(status, "HTTP/1.1 503 ") && !bytes.Contains(response, []byte("Reloading this page is safe.")) {
		c.wrong.Add(1)
	}
}

func (c *crowd) drip(text string) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
		}
		for _, conn := range c.connections {
			_, _ = io.WriteString(conn, text)
		}
	}
}

// end closes all connections.
func (c *crowd) end() {
	close(c.stop)
	for _, conn := range c.connections {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	c.reading.Wait()
}

// honest sends callbacks of usual sizes from several clients, each on a connection
// of its own, and returns how many failed and the times that they took.
func honest(t *testing.T, address, name string, each int) (failed int, times []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	saml := strings.Repeat("s", 60_000)
	for client := range 4 {
		clients.Go(func() {
			transport := &http.Transport{DisableKeepAlives: true}
			for i := range each {
				how, id := []sending{byGet, byPost}[i%2], fmt.Sprintf("%s-%d-%d", name, client, i)
				if how == byPost && client%2 == 1 {
					id += saml
				}
				began := time.Now()
				status, _, err := request(transport, how, address, "/cb", id)
				mu.Lock()
				times = append(times, time.Since(began))
				if status != http.StatusOK || err != nil {
					if failed++; failed > 5 {
						mu.Unlock()
						continue
					}
					t.Logf("%s: callback %d of client %d: %d %v", name, i, client, status, err)
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	slices.Sort(times)
	return failed, times
}

// descriptorsOf counts the descriptors of a process, and peakOf reads the most
// memory that it had, in bytes.
func descriptorsOf(t *testing.T, p *proxy) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func peakOf(t *testing.T, p *proxy) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// awaitDescriptors returns when the descriptors of a flood are back.
func awaitDescriptors(t *testing.T, p *proxy, before int) {
	t.Helper()
	const some = 8                                                                 // of the runtime, and of callbacks that just end
	for end := time.Now().Add(2 * patience); ; time.Sleep(50 * time.Millisecond) { // the interval of polling
		n := descriptorsOf(t, p)
		if n <= before+some {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%d descriptors are open, %d were before", n, before)
			return
		}
	}
}

// newMemoryGroup returns a control group with the memory limit, or "" where this
// process may make none.
func newMemoryGroup(t *testing.T) string {
	t.Helper()
	for root, file := range map[string]string{"/sys/fs/cgroup": "memory.max", "/sys/fs/cgroup/memory": "memory.limit_in_bytes"} {
		group := filepath.Join(root, "callback-edges-"+strconv.Itoa(os.Getpid()))
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil || os.Mkdir(group, 0o700) != nil {
			continue
		}
		if os.WriteFile(filepath.Join(group, file), []byte(strconv.Itoa(memoryLimit)), 0o600) == nil {
			t.Cleanup(func() { _ = os.Remove(group) })
			return group
		}
		_ = os.Remove(group)
	}
	return ""
}

// F51, F53, F67: each flood alone, against a proxy with 128 MiB: no honest callback
// fails, the process stays below 90 % of its limit, what is shed gets a constant
// response, and the descriptors come back.
func TestF67_F53_F51_Floods(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	for i := range floods {
		f := &floods[i]
		t.Run(f.name, func(t *testing.T) {
			backend, release := startFlooded(t)
			o := options{backend: backend, paths: []string{"/hang", "/large"}, group: newMemoryGroup(t)}
			if o.group == "" {
				t.Log("no control group can be made here: the limit is a flag")
				o.memory = strconv.Itoa(memoryLimit)
			}
			p := startProxy(t, o)
			if failed, _ := honest(t, p.address, "before", 2); failed > 0 {
				t.Fatal("the proxy does not serve")
			}
			before := descriptorsOf(t, p)
			c := f.start(t, p.address)
			failed, times := honest(t, p.address, "during", 200/parts())
			c.end()
			release()
			select {
			case <-p.exited:
				t.Fatalf("the proxy ended, %s; its log ends with\n%s", p.process.ProcessState, strings.Join(p.lines()[max(0, len(p.lines())-50):], "\n"))
			default:
			}
			awaitDescriptors(t, p, before)
			after, _ := honest(t, p.address, "after", 2)
			peak := peakOf(t, p)
			t.Logf("%d hostile connections, %d callbacks: %d failed, p50 %s, p99 %s; peak %d MiB; responses %v",
				len(c.connections), len(times), failed, times[len(times)/2], times[len(times)*99/100], peak>>20, c.statuses)
			if failed+after > 0 {
				t.Errorf("%d callbacks failed during the flood, %d after it", failed, after)
			}
			if peak > memoryLimit/10*9 {
				t.Errorf("the proxy used %d MiB", peak>>20)
			}
			if c.wrong.Load() > 0 {
				t.Errorf("%d responses of 503 are not constant", c.wrong.Load())
			}
		})
	}
}

// F50: a proxy with 256 descriptors serves honest clients beside three times as many
// hostile ones, and recovers.
func TestF50_FewDescriptors(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	backend, _ := startFlooded(t)
	p := startProxy(t, options{backend: backend, descriptors: 256})
	honest(t, p.address, "before", 2)
	before := descriptorsOf(t, p)
	for _, f := range []flood{
		{name: "idle", clients: 800 * parts(), reads: true},
		{name: "heads", clients: 800 * parts(), reads: true, begin: head("GET", "/cb")},
	} {
		c := f.start(t, p.address)
		failed, times := honest(t, p.address, "during", 20)
		most := descriptorsOf(t, p)
		c.end()
		awaitDescriptors(t, p, before)
		t.Logf("%s: %d callbacks: %d failed, p99 %s; %d descriptors; responses %v", f.name, len(times), failed, times[len(times)*99/100], most, c.statuses)
		if failed > 0 || most > 256 {
			t.Errorf("%s: %d callbacks failed, %d descriptors", f.name, failed, most)
		}
	}
	if failed, _ := honest(t, p.address, "after", 2); failed > 0 {
		t.Errorf("%d callbacks failed after the floods", failed)
	}
	if log := strings.Join(p.lines(), "\n"); strings.Contains(log, "could not be accepted") {
		t.Errorf("descriptors ran out: %s", log)
	}
}

// F58: 20,000 connections that are opened and closed at once cost honest clients
// nothing, and leave nothing.
func TestF58_ConnectionFlood(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	backend, _ := startFlooded(t)
	p := startProxy(t, options{backend: backend, memory: strconv.Itoa(memoryLimit)})
	honest(t, p.address, "before", 2)
	before := descriptorsOf(t, p)
	var flooding sync.WaitGroup
	for range 20 {
		flooding.Go(func() {
			for range 1000 / parts() {
				if conn, err := net.DialTimeout("tcp", p.address, patience); err == nil {
					_ = conn.(*net.TCPConn).SetLinger(0)
					_ = conn.Close()
				}
			}
		})
	}
	failed, times := honest(t, p.address, "during", 200/parts())
	flooding.Wait()
	awaitDescriptors(t, p, before)
	t.Logf("%d callbacks: %d failed, p99 %s, peak %d MiB", len(times), failed, times[len(times)*99/100], peakOf(t, p)>>20)
	if failed > 0 {
		t.Errorf("%d callbacks failed", failed)
	}
}
