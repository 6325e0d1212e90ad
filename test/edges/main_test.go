// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// main_test.go: the proxy under test, as a process of its own.

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/source"
)

const (
	// authHost is the host of the callback, otherHost of another site.
	authHost  = "auth.acme.test"
	otherHost = "idp.other.test"
	// patience bounds what normally happens at once.
	patience = 30 * time.Second
)

// trustAll makes clients on this host, such as a front, trusted peers.
var trustAll = []string{"127.0.0.0/8"}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// full is set for the tests that last minutes.
var full = os.Getenv("EDGES") == "full"

// program is the path of the proxy.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runWithProgram(m))
}

func runWithProgram(m *testing.M) int {
	dir, err := os.MkdirTemp("", "callback-edges-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "edges:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "proxy")
	build := exec.Command("go", "build", "-o", program, "github.com/callbackproxy/callback-operator/cmd/proxy")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "edges: build the proxy: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// options of a proxy.
type options struct {
	// backend is the address that callbacks go to.
	backend string
	// app is the address of the application behind a sidecar; empty: none.
	app string
	// trusted are the networks of trusted peers.
	trusted []string
	// timeoutSeconds are the route's; 30 when 0.
	timeoutSeconds int32
	// paths are those of further routes to the same backend.
	paths []string
	// proxyProtocol: connections begin with a header of the PROXY protocol.
	proxyProtocol bool
	// change makes the table another one; nil: it stays.
	change func(*routetable.Table)
	// more are addresses of other backends, and where they are.
	more map[string]string
	// memory is the limit that a flag states, group a control group with a limit, and
	// descriptors the limit on them; empty or 0: none.
	memory, group string
	descriptors   int
}

// command returns the proxy's command under the limits.
func (o *options) command(args []string) *exec.Cmd {
	if o.memory != "" {
		args = append(args, "--memory-limit="+o.memory)
	}
	script := ""
	if o.group != "" {
		script += "echo $$ > " + filepath.Join(o.group, "cgroup.procs") + "; "
	}
	if o.descriptors > 0 {
		script += "ulimit -n " + strconv.Itoa(o.descriptors) + "; "
	}
	if script == "" {
		return exec.CommandContext(context.Background(), program, args...)
	}
	return exec.CommandContext(context.Background(), "/bin/sh", append([]string{"-c", "set -e; " + script + `exec "$0" "$@"`, program}, args...)...)
}

// proxy is a running proxy, without an API server: it serves what is on its disk.
type proxy struct {
	address string
	process *exec.Cmd
	exited  chan struct{}

	mu  sync.Mutex
	log []string
}

func startProxy(t *testing.T, o options) *proxy {
	t.Helper()
	dir := t.TempDir()
	keepConfig(t, dir, o)
	args := []string{
		"--namespace=edge-system", "--proxy=edge", "--kubeconfig=" + writeKubeconfig(t), "--listen-address=127.0.0.1:0",
		"--admin-address=127.0.0.1:0", "--drain-delay=0s", "--start-timeout=1ms", "--state-dir=" + dir,
		"--connect-to=10.0.0.1:80=" + o.backend,
	}
	for from, to := range o.more {
		args = append(args, "--connect-to="+from+"="+to)
	}
	if o.app != "" {
		_, port, _ := net.SplitHostPort(o.app)
		args = append(args, "--app-port="+port)
	}
	p := &proxy{process: o.command(args), exited: make(chan struct{})}
	stderr, err := p.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	serving := make(chan string, 1)
	go p.read(stderr, serving)
	t.Cleanup(func() { _ = p.process.Process.Kill(); <-p.exited })
	select {
	case p.address = <-serving:
	case <-time.After(patience):
		t.Fatalf("the proxy does not serve:\n%s", strings.Join(p.lines(), "\n"))
	}
	return p
}

// read keeps the log and reports the address of the listener.
func (p *proxy) read(stderr io.Reader, serving chan<- string) {
	defer close(p.exited)
	scanner := bufio.NewScanner(stderr)
	for scanner.Scan() {
		var line struct{ Msg, ListenAddress string }
		if json.Unmarshal(scanner.Bytes(), &line) == nil && line.Msg == "serving" {
			serving <- line.ListenAddress
		}
		p.mu.Lock()
		p.log = append(p.log, scanner.Text())
		p.mu.Unlock()
	}
	_ = p.process.Wait()
}

func (p *proxy) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.log...)
}

// terminate sends SIGTERM.
func (p *proxy) terminate() { _ = p.process.Process.Signal(syscall.SIGTERM) }

// keepConfig writes a config as an earlier run of the proxy would have.
func keepConfig(t *testing.T, dir string, o options) {
	t.Helper()
	var routes []routetable.Route
	for i, path := range append([]string{"/cb"}, o.paths...) {
		routes = append(routes, routetable.Route{
			Namespace: "identity", Name: "acme-sso-" + strconv.Itoa(i), UID: "uid" + strconv.Itoa(i), Generation: 1,
			Hostnames: []string{authHost}, Protocol: routetable.OIDC,
			Callbacks:      []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: path}},
			Backends:       []routetable.Backend{{Name: "blue", Weight: 1, Addresses: []string{"10.0.0.1:80"}}},
			TimeoutSeconds: max(o.timeoutSeconds, 30), Sunset: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC), AfterSunset: routetable.Reject,
		})
	}
	table := &routetable.Table{
		Settings: routetable.Settings{ListenerPort: 8080, ProxyProtocol: o.proxyProtocol, Forwarding: routetable.Forwarding{TrustedProxies: o.trusted}},
		Routes:   routes,
	}
	if o.change != nil {
		o.change(table)
	}
	encoded, err := routetable.Encode(table, routetable.DefaultShardBytes)
	if err != nil {
		t.Fatal(err)
	}
	disk := source.NewDisk(dir, slog.New(slog.DiscardHandler), func() { t.Error("the config cannot be kept") })
	disk.Keep(config.Offer{
		Version: routetable.Version{Epoch: 1, Generation: 1}, ReportKey: strings.Repeat("A", 43) + "=",
		Index: encoded.Index, Shards: map[string]string{encoded.Shards[0].Hash: encoded.Shards[0].Data},
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	disk.Run(ctx)
}

// noServer is an address that refuses connections. A port that was free a moment
// ago may be that of another test's server.
const noServer = "127.0.0.1:1"

// writeKubeconfig returns a kubeconfig for an API server that refuses
// connections.
func writeKubeconfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	content := `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],` +
		`"users":[{"name":"x"}],"clusters":[{"name":"x","cluster":{"server":` + strconv.Quote("http://"+noServer) + `}}]}`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
