// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// fronts_test.go: how often a callback arrives behind each front, and what the
// backends learn of the client.

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// F62, W7, W13: behind each front, with the settings of the docs, a callback is
// delivered once however the backend ends, and the proxies stay in service.
func TestF62_FrontsSendOnce(t *testing.T) {
	eachFront(t, func(t *testing.T, f *front, settings string) {
		t.Helper()
		backend := startBackend(t)
		o := options{backend: backend.address, trusted: trustAll}
		address := f.start(t, settings, startRelay(t, startProxy(t, o).address, startProxy(t, o).address).address)
		client := &http.Transport{}
		defer client.CloseIdleConnections()
		for _, how := range []sending{byGet, byPost} {
			for i := range faults {
				way := &faults[i]
				id := fmt.Sprintf("id-%d-%s", i, how)
				backend.way.Store(nil)
				if status, _, err := request(client, how, address, "/cb", "good-"+id); status != http.StatusOK || err != nil {
					t.Errorf("before %s the front has no server: %d %v", way.name, status, err)
				}
				backend.way.Store(way)
				status, body, err := request(client, how, address, "/cb", id)
				n := backend.delivered(id) - backend.delivered("good-"+id)
				switch {
				case n != 1:
					t.Errorf("%s, %s: delivered %d times", how, way.name, n)
				case way.cut && status != 0 && err == nil:
					t.Errorf("%s, %s: the client sees status %d and no cut", how, way.name, status)
				case !way.cut && (status != http.StatusBadGateway || !strings.Contains(body, "The sign-in was interrupted")):
					t.Errorf("%s, %s: the client sees status %d, %v, %.80q", how, way.name, status, err, body)
				}
			}
		}
	})
}

// F65, W7: an instance is killed while it has a callback. With the settings of the
// docs no front sends the callback to the other instance.
func TestF65_FrontsSendOnceWhenAnInstanceIsKilled(t *testing.T) {
	eachFront(t, func(t *testing.T, f *front, settings string) {
		t.Helper()
		for _, how := range []sending{byGet, byPost} {
			n, status := killInstance(t, how, func(first, second string) string {
				return f.start(t, settings, startRelay(t, first, second).address)
			})
			t.Logf("%s: delivered %d times, status %d", how, n, status)
			if n != 1 || status < http.StatusInternalServerError {
				t.Errorf("%s: delivered %d times, status %d", how, n, status)
			}
		}
	})
}

// F65: the same with two servers in the front's own list, as without a Service. With
// its defaults nginx sends a GET to the second instance, with the settings of the
// docs it does not.
func TestF65_NginxRepeatsByDefault(t *testing.T) {
	f, settings := &fronts[0], documented(t, "nginx")
	for name, tc := range map[string]struct {
		settings string
		want     int
	}{
		"defaults":   {with(t, settings, "proxy_next_upstream off;", ""), 2},
		"documented": {settings, 1},
	} {
		n, status := killInstance(t, byGet, func(first, second string) string {
			return f.start(t, strings.Replace(tc.settings, "server "+documentedService+";", "server "+first+"; server "+second+";", 1), "")
		})
		t.Logf("%s: delivered %d times, status %d", name, n, status)
		if n != tc.want {
			t.Errorf("%s: delivered %d times, want %d", name, n, tc.want)
		}
	}
}

// F65: without one of the settings of the docs a front, or the client that it leaves
// without a status line, sends a GET again, so the tests above can fail.
func TestF65_FrontsRepeatWithOtherSettings(t *testing.T) {
	for _, tc := range []struct {
		front          *front
		setting, other string
	}{
		{&fronts[1], "retry-on conn-failure", "retry-on all-retryable-errors"},
		{&fronts[1], "option httpclose", ""},
		{&fronts[2], "KeepAlive Off", ""},
		{&fronts[3], "keepalive off", ""},
	} {
		t.Run(tc.front.name+" without "+tc.setting, func(t *testing.T) {
			settings := with(t, documented(t, tc.front.language), tc.setting, tc.other)
			n, status := killInstance(t, byGet, func(first, second string) string {
				return tc.front.start(t, settings, startRelay(t, first, second).address)
			})
			t.Logf("delivered %d times, status %d", n, status)
			if n != 2 {
				t.Errorf("delivered %d times: this test cannot find a repeated callback", n)
			}
		})
	}
}

// killInstance sends a callback through a front of two instances, over connections
// that were used before, kills the instance that delivers it, and lets the backends
// respond. It returns how often the callback was delivered, and the client's status.
func killInstance(t *testing.T, how sending, start func(first, second string) string) (delivered, status int) {
	t.Helper()
	release := make(chan struct{})
	var backends [2]*counted
	var instances [2]*proxy
	for i := range instances {
		backends[i] = startCounted(t, release)
		instances[i] = startProxy(t, options{backend: backends[i].address, trusted: trustAll})
	}
	address := start(instances[0].address, instances[1].address)
	client := &http.Transport{}
	defer client.CloseIdleConnections()
	for range 4 {
		if status, _, err := request(client, byGet, address, "/warm", "warm"); status != http.StatusNotFound {
			t.Fatalf("before the callback the front responds with %d, %v", status, err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// As browsers do, this client sends a GET again when a connection that was used
		// before ends without a status line.
		status, _, _ = request(client, how, address, "/cb", "id0001")
	}()
	holder := 0
	select {
	case <-backends[0].arrived:
	case <-backends[1].arrived:
		holder = 1
	}
	_ = instances[holder].process.Process.Kill()
	<-instances[holder].exited
	close(release)
	<-done
	return backends[0].count() + backends[1].count(), status
}

// W1, W3, W4: behind each front, with the settings of the docs, the backend gets the
// client's host and address, the scheme https, and nothing that the client claims.
// W37: a cookie of 40 KiB passes.
func TestW4_FrontsDescribeTheClient(t *testing.T) {
	eachFront(t, func(t *testing.T, f *front, settings string) {
		t.Helper()
		backend := startBackend(t)
		address := f.start(t, settings, startProxy(t, options{backend: backend.address, trusted: trustAll}).address)
		const target = "/cb?code=a%2Fb%20c+d;e&state=%7E~"
		raw := "GET " + target + " HTTP/1.1\r\nHost: " + authHost + "\r\nConnection: close\r\nCookie: a=" + strings.Repeat("c", 40<<10) + "\r\n"
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-Ip", "Remote-User"} {
			raw += name + ": claimed.test\r\n"
		}
		if got := exchange(t, address, raw+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Fatalf("the response is %.200q", got)
		}
		backend.mu.Lock()
		defer backend.mu.Unlock()
		for name, want := range map[string]string{"X-Forwarded-Host": authHost, "X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1, 127.0.0.1"} {
			if got := strings.Join(backend.fields.Values(name), ", "); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if len(backend.fields.Get("Cookie")) != 40<<10+2 || !strings.HasPrefix(backend.requests[0], "GET "+target+" ") {
			t.Errorf("the request is %.80q with a cookie of %d bytes", backend.requests[0], len(backend.fields.Get("Cookie")))
		}
		for name, values := range backend.fields {
			if strings.Contains(strings.Join(values, ", "), "claimed.test") {
				t.Errorf("the backend gets the client's %s", name)
			}
		}
	})
}

// F80, W10: no callback is lost behind a front that keeps its connections, as far as
// its settings keep them.
func TestF80_FrontsLoseNoCallback(t *testing.T) {
	eachFront(t, func(t *testing.T, f *front, settings string) {
		t.Helper()
		backend := startBackend(t)
		counting := startRelay(t, startProxy(t, options{backend: backend.address, trusted: trustAll}).address)
		address := f.start(t, settings, counting.address)
		const clients, each = 4, 100
		var failed atomic.Int64
		var running sync.WaitGroup
		for c := range clients {
			running.Go(func() {
				client := &http.Transport{MaxIdleConnsPerHost: 1}
				defer client.CloseIdleConnections()
				for i := range each {
					status, _, err := request(client, []sending{byGet, byPost}[c%2], address, "/cb", fmt.Sprintf("id-%d-%d-", c, i))
					if status != http.StatusOK || err != nil {
						failed.Add(1)
						t.Logf("request %d of client %d: %d %v", i, c, status, err)
					}
				}
			})
		}
		running.Wait()
		t.Logf("%d callbacks, %d connections, %d failed, %d delivered", clients*each, counting.connections.Load(), failed.Load(), backend.delivered("id-"))
		if failed.Load() != 0 || backend.delivered("id-") != clients*each {
			t.Errorf("%d of %d callbacks failed, %d delivered", failed.Load(), clients*each, backend.delivered("id-"))
		}
	})
}
