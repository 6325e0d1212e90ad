// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// balancer_test.go: the installed nginx and HAProxy as balancers that send the PROXY
// protocol.

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startBalancer starts a program with a config file, and returns when it accepts
// connections at the address.
func startBalancer(t *testing.T, address, config string, command func(dir, path string) *exec.Cmd) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "balancer.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	process := command(dir, path)
	var log bytes.Buffer
	process.Stderr = &log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
		if t.Failed() {
			t.Logf("balancer: %.4000s", log.String())
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // the interval of polling
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the balancer does not listen: %v\n%s", err, log.String())
		}
	}
}

// startStream starts nginx as a balancer of connections, which sends version 1.
func startStream(t *testing.T, target string) string {
	t.Helper()
	nginx, address, module := need(t, "nginx", "/usr/sbin/nginx"), freeAddress(t), ""
	const dynamic = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(dynamic); err == nil {
		module = "load_module " + dynamic + ";"
	} else if out, err := exec.Command(nginx, "-V").CombinedOutput(); err != nil || !bytes.Contains(append(out, ' '), []byte("--with-stream ")) {
		t.Skip("nginx has no module for streams: install libnginx-mod-stream")
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	config := fmt.Sprintf(`%s %s daemon off; worker_processes 1; error_log stderr; pid %s/pid;
events { worker_connections 1024; }
stream { server { listen %s; proxy_pass %s; proxy_protocol on; } }`, module, user, t.TempDir(), address, target)
	startBalancer(t, address, config, func(dir, path string) *exec.Cmd { return exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", path) })
	return address
}

// startHAProxyBalancer starts HAProxy as a balancer of connections, which checks its server
// with the same option.
func startHAProxyBalancer(t *testing.T, target, option string) string {
	t.Helper()
	haproxy, address := need(t, "haproxy", "/usr/sbin/haproxy"), freeAddress(t)
	config := fmt.Sprintf(`defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind %s
  default_backend edge
backend edge
  server proxy %s %s check inter 100ms check-send-proxy
`, address, target, option)
	startBalancer(t, address, config, func(_, path string) *exec.Cmd { return exec.Command(haproxy, "-db", "-f", path) })
	return address
}

// W6: real balancers state the client's address, in both versions of the protocol;
// the backend gets it, and their own checks are no missing headers.
func TestW6_RealBalancers(t *testing.T) {
	for name, option := range map[string]string{
		"nginx":                  "",
		"HAProxy, version 1":     "send-proxy",
		"HAProxy, version 2":     "send-proxy-v2",
		"HAProxy, with its TLVs": "send-proxy-v2 proxy-v2-options crc32c,unique-id",
	} {
		t.Run(name, func(t *testing.T) {
			backend := startBackend(t)
			p := startProxy(t, options{backend: backend.address, proxyProtocol: true})
			var address string
			if option == "" {
				address = startStream(t, p.address)
			} else {
				address = startHAProxyBalancer(t, p.address, option)
			}
			const source = "127.0.0.77" // the balancer itself connects from 127.0.0.1
			dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
			client := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
			for i, how := range []sending{byGet, byPost, byGet, byPost} {
				id := fmt.Sprintf("id%d", i)
				status, body, err := request(client, how, address, "/cb", id)
				backend.mu.Lock()
				stated := backend.fields.Get("X-Forwarded-For")
				backend.mu.Unlock()
				if status != http.StatusOK || body != "fine" || err != nil || stated != source || backend.delivered(id) != 1 {
					t.Errorf("%s: %d %q %v, delivered %d times, the backend gets the client %q", how, status, body, err, backend.delivered(id), stated)
				}
			}
			if log := strings.Join(p.lines(), "\n"); strings.Contains(log, "connection dropped") {
				t.Errorf("connections are dropped:\n%s", log)
			}
		})
	}
}
