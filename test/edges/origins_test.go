// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// origins_test.go: five servers that other people wrote, and the list of the requests that each of them saw.

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// origin is a server behind the proxy. It responds to a request with its message:
// the method and the target, a line end, and the body.
type origin struct {
	address string
	// seen returns the messages of all whole requests that it saw.
	seen func(t *testing.T) []string
}

// origins start one of each. nginx, Apache and HAProxy are those that a request
// passes on its way to a server that records it.
var origins = map[string]func(t *testing.T) origin{
	"Go":   startGo,
	"Node": startNode,
	"nginx": func(t *testing.T) origin {
		t.Helper()
		behind := startGo(t)
		return origin{startNginx(t, kept, behind.address), behind.seen}
	},
	"Apache": func(t *testing.T) origin {
		t.Helper()
		behind := startGo(t)
		return origin{startApache(t, behind.address), behind.seen}
	},
	"HAProxy": func(t *testing.T) origin {
		t.Helper()
		behind := startGo(t)
		return origin{startHAProxy(t, behind.address), behind.seen}
	},
}

// startGo starts net/http.
func startGo(t *testing.T) origin {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // not whole
		}
		message := r.Method + " " + r.RequestURI + "\n" + string(body)
		mu.Lock()
		seen = append(seen, message)
		mu.Unlock()
		w.Header().Set("Connection", "keep-alive") // without it a sidecar uses no connection again
		_, _ = io.WriteString(w, message)
	}))
	t.Cleanup(server.Close)
	return origin{server.Listener.Addr().String(), func(*testing.T) []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}}
}

// startNode starts Node's http module.
func startNode(t *testing.T) origin {
	t.Helper()
	process := exec.Command(need(t, "node"), "testdata/origin.mjs")
	process.Stderr = os.Stderr
	stdout, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("node does not listen: %v", err)
	}
	address := net.JoinHostPort("127.0.0.1", strings.TrimSpace(port))
	return origin{address, func(t *testing.T) (seen []string) {
		t.Helper()
		response, err := http.Get("http://" + address + "/record")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			message, err := hex.DecodeString(lines.Text())
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, string(message))
		}
		return seen
	}}
}

// startApache starts Apache's httpd in front of a server.
func startApache(t *testing.T, to string) string {
	t.Helper()
	apache := need(t, "apache2", "/usr/sbin/apache2", "httpd", "/usr/sbin/httpd")
	modules := ""
	for _, dir := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"} {
		if _, err := os.Stat(dir); err == nil {
			modules = dir
		}
	}
	dir, address := t.TempDir(), freeAddress(t)
	var loads strings.Builder
	for _, name := range []string{"mpm_event", "authz_core", "headers", "proxy", "proxy_http"} {
		fmt.Fprintf(&loads, "LoadModule %s_module %s/mod_%s.so\n", name, modules, name)
	}
	user := ""
	if os.Getuid() == 0 {
		user = "User #65534\nGroup #65534\n" // without rights
	}
	content := fmt.Sprintf(`%s%sServerRoot %s
ServerName origin.test
Listen %s
PidFile %s/pid
ErrorLog %s/log
LogLevel error
Mutex pthread default
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 5
AllowEncodedSlashes NoDecode
Header always set Connection keep-alive "expr=%%{REQUEST_STATUS} == 200"
ProxyPass / http://%s/ nocanon
`, loads.String(), user, dir, address, dir, dir, to)
	return startServer(t, address, filepath.Join(dir, "httpd.conf"), content, apache, "-DFOREGROUND", "-f")
}

// startHAProxy starts HAProxy in front of a server.
func startHAProxy(t *testing.T, to string) string {
	t.Helper()
	haproxy := need(t, "haproxy", "/usr/sbin/haproxy")
	address := freeAddress(t)
	content := fmt.Sprintf(`global
  maxconn 200
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend origin
  bind %s
  default_backend recorder
backend recorder
  server recorder %s
`, address, to)
	return startServer(t, address, filepath.Join(t.TempDir(), "haproxy.cfg"), content, haproxy, "-db", "-f")
}

// startServer writes a configuration and starts a program with its path as the
// last argument. It returns the address when the program listens there.
func startServer(t *testing.T, address, path, content string, command ...string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(command[0], append(command[1:], path)...)
	var log bytes.Buffer
	process.Stdout, process.Stderr = &log, &log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
		if t.Failed() {
			t.Logf("%s: %.4000s", command[0], log.String())
		}
	})
	awaitListener(t, address)
	return address
}

// awaitListener returns when an address accepts connections.
func awaitListener(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // the interval of polling
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nothing listens: %v", err)
		}
	}
}
