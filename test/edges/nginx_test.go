// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// nginx_test.go: the installed nginx in front of two proxies.

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// kept are the settings with which nginx keeps its connections to the upstream.
const kept = "keepalive 16; keepalive_timeout 60s;"

// startNginx starts nginx in front of targets, with its defaults but for the
// settings of the upstream, and returns its address.
func startNginx(t *testing.T, upstream string, targets ...string) string {
	t.Helper()
	nginx := need(t, "nginx", "/usr/sbin/nginx")
	dir := t.TempDir()
	address := freeAddress(t)
	location := "proxy_set_header Host $host;"
	if strings.Contains(upstream, "keepalive") {
		location += ` proxy_http_version 1.1; proxy_set_header Connection "";`
	}
	var user, temporary strings.Builder
	if os.Getuid() == 0 {
		user.WriteString("user root;")
	}
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "%s_temp_path %s; ", name, filepath.Join(dir, name))
	}
	content := fmt.Sprintf(`%s daemon off; worker_processes 1; pid %s/pid; error_log stderr;
events { worker_connections 1024; }
http { access_log off; %s
upstream edge { server %s; %s }
server { listen %s; keepalive_requests 1000000; location / { proxy_pass http://edge; %s } } }`,
		user.String(), dir, temporary.String(), strings.Join(targets, "; server "), upstream, address, location)
	path := filepath.Join(dir, "nginx.conf")
	return startServer(t, address, path, content, nginx, "-p", dir, "-e", "stderr", "-c")
}

// freeAddress returns an address for a program that cannot choose a port by the
// system. Its port is below those of outgoing connections, which would take it.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+rand.IntN(20_000)))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// request sends one request by a transport. Status 0 means that there was no
// response; an error that it was not whole.
func request(transport http.RoundTripper, how sending, address, target, id string) (status int, body string, err error) {
	var form io.Reader
	if how == byPost {
		form = strings.NewReader("code=" + id + "&state=s")
	} else {
		target += "?code=" + id + "&state=s"
	}
	r, err := http.NewRequest(string(how), "http://"+address+target, form)
	if err != nil {
		return 0, "", err
	}
	r.Host = authHost
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// F62: the test can fail. nginx sends a GET to the next server when the first one
// closes the connection without a status line.
func TestF62_NginxRepeatsWithoutAStatusLine(t *testing.T) {
	backend := startBackend(t)
	backend.way.Store(&faults[0])
	address := startNginx(t, "", startSilent(t, backend.address), startSilent(t, backend.address))
	status, _, _ := request(&http.Transport{DisableKeepAlives: true}, byGet, address, "/cb", "id0001")
	n := backend.delivered("id0001")
	t.Logf("delivered %d times, status %d", n, status)
	if n != 2 {
		t.Errorf("delivered %d times: this test cannot find a repeated callback", n)
	}
}

// F62: a stock nginx in front of two proxies sends each callback once, and takes
// no proxy out of service for a backend that breaks off.
func TestF62_NginxSendsOnce(t *testing.T) {
	backend := startBackend(t)
	for name, upstream := range map[string]string{"stock": "", "with connections that are kept": kept} {
		for _, trusted := range [][]string{nil, {"127.0.0.0/8"}} {
			o := options{backend: backend.address, trusted: trusted}
			address := startNginx(t, upstream, startProxy(t, o).address, startProxy(t, o).address)
			client := &http.Transport{DisableKeepAlives: true}
			for _, how := range []sending{byGet, byPost} {
				for i := range faults {
					f := &faults[i]
					id := fmt.Sprintf("id-%s-%d-%d-%s", name, len(trusted), i, how)
					id = strings.ReplaceAll(id, " ", "-")
					backend.way.Store(nil)
					if status, _, err := request(client, how, address, "/cb", "good-"+id); status != http.StatusOK || err != nil {
						t.Errorf("%s: before %s nginx has no server: %d %v", name, f.name, status, err)
					}
					backend.way.Store(f)
					status, body, err := request(client, how, address, "/cb", id)
					n := backend.delivered(id) - backend.delivered("good-"+id)
					t.Logf("%s, trusted %v, %s, %s: delivered %d times, status %d, %v", name, trusted, how, f.name, n, status, err)
					switch {
					case n != 1:
						t.Errorf("%s, %s, %s: delivered %d times", name, how, f.name, n)
					case f.cut && (status != http.StatusOK || err == nil):
						t.Errorf("%s, %s, %s: the client sees status %d, %v, not a cut response", name, how, f.name, status, err)
					case !f.cut && (status != http.StatusBadGateway || !strings.Contains(body, "The sign-in was interrupted")):
						t.Errorf("%s, %s, %s: the client sees status %d, %q", name, how, f.name, status, body)
					}
				}
			}
		}
	}
}

// relay stands for a Service: it spreads connections over servers that accept them,
// and counts them.
type relay struct {
	address     string
	connections atomic.Int64
}

func startRelay(t *testing.T, to ...string) *relay {
	t.Helper()
	r := &relay{}
	r.address = serve(t, func(conn *net.TCPConn) {
		first := int(r.connections.Add(1))
		for i := range to {
			onward, err := net.Dial("tcp", to[(first+i)%len(to)])
			if err != nil {
				continue
			}
			defer func() { _ = onward.Close() }()
			go func() { _, _ = io.Copy(onward, conn); _ = onward.(*net.TCPConn).CloseWrite() }()
			_, _ = io.Copy(conn, onward)
			return
		}
	})
	return r
}

// F80: nginx uses its kept connections 10,000 times, and none is reset.
func TestF80_NginxReusesConnections(t *testing.T) {
	backend := startBackend(t)
	counting := startRelay(t, startProxy(t, options{backend: backend.address, trusted: []string{"127.0.0.0/8"}}).address)
	address := startNginx(t, kept, counting.address)
	const clients, each = 8, 1400
	var failed atomic.Int64
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			client := &http.Transport{MaxIdleConnsPerHost: 1}
			defer client.CloseIdleConnections()
			how := []sending{byGet, byPost}[c%2]
			for i := range each {
				status, _, err := request(client, how, address, "/cb", fmt.Sprintf("id-%d-%d-", c, i))
				if status != http.StatusOK || err != nil {
					failed.Add(1)
					t.Logf("request %d of client %d: %d %v", i, c, status, err)
				}
			}
		})
	}
	running.Wait()
	sent, reuses := clients*each, clients*each-int(counting.connections.Load())
	t.Logf("%d callbacks, %d connections, %d reuses, %d failed, %d delivered", sent, counting.connections.Load(), reuses, failed.Load(), backend.delivered("id-"))
	if failed.Load() != 0 || reuses < 10_000 || backend.delivered("id-") != sent {
		t.Errorf("%d of %d callbacks failed, %d delivered, after %d reuses", failed.Load(), sent, backend.delivered("id-"), reuses)
	}
}
