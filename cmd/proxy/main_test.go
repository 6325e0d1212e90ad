// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/source"
)

func TestCommand_Flags(t *testing.T) {
	good := []string{"--namespace=edge-system", "--proxy=edge"}
	for _, tc := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"version", []string{"--version"}, 0, "callback-proxy dev\n", ""},
		{"no namespace", []string{"--proxy=edge"}, 2, "", "callback-proxy: --namespace is required: the namespace of the CallbackProxy\n"},
		{"no proxy", []string{"--namespace=n"}, 2, "", "callback-proxy: --proxy is required: the name of the CallbackProxy\n"},
		{"unknown flag", append(good, "--insecure"), 2, "", "callback-proxy: flag provided but not defined: -insecure\n"},
		{"argument", append(good, "extra"), 2, "", "callback-proxy: unexpected argument \"extra\"\n"},
		{"drain too long", append(good, "--drain-delay=1m"), 2, "", "callback-proxy: --drain-delay must be between 0s and 20s\n"},
		{"negative wait", append(good, "--start-timeout=-1s"), 2, "", "callback-proxy: --start-timeout must not be negative\n"},
		{"no port", append(good, "--app-port=65536"), 2, "", "callback-proxy: --app-port must be a port, or 0 for none\n"},
		{"its own port", append(good, "--app-port=8080"), 2, "", "callback-proxy: --app-port is the application's, and 8080 is the port of --listen-address\n"},
		{"its admin port", append(good, "--app-port=81", "--admin-address=127.0.0.1:81"), 2, "", "and 81 is the port of --admin-address\n"},
		{"hardly any memory", append(good, "--memory-limit=31Mi"), 2, "", "-memory-limit: want an amount of at least 32Mi, such as 128Mi\n"},
		{"memory of no amount", append(good, "--memory-limit=much"), 2, "", "-memory-limit: want an amount of at least 32Mi, such as 128Mi\n"},
		{"no kubeconfig", append(good, "--kubeconfig=/does/not/exist"), 1, "", "read API server's address"},
		{"mapping without target", append(good, "--connect-to=10.0.0.1:80"), 2, "", "want IP:PORT=HOST:PORT"},
		{"mapping of a name", append(good, "--connect-to=svc:80=127.0.0.1:1"), 2, "", `"svc:80" is not IP:PORT`},
		{"mapping of odd spelling", append(good, "--connect-to=010.0.0.1:80=127.0.0.1:1"), 2, "", "is not IP:PORT"},
		{"mapping to no port", append(good, "--connect-to=10.0.0.1:80=127.0.0.1"), 2, "", `"127.0.0.1" is not HOST:PORT`},
		{"mapped twice", append(good, "--connect-to=10.0.0.1:80=a:1", "--connect-to=10.0.0.1:80=b:1"), 2, "", "10.0.0.1:80 is mapped twice"},
		{"help", []string{"-h"}, 0, "", "-connect-to IP:PORT=HOST:PORT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := command(t.Context(), tc.args, &stdout, &stderr)
			if code != tc.code || stdout.String() != tc.stdout || !strings.Contains(stderr.String(), tc.stderr) {
				t.Errorf("exit %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
			}
		})
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{
		"--namespace", "n", "--proxy", "p", "--connect-to", "10.0.0.1:80=127.0.0.1:8080", "--connect-to", "[fd00::1]:80=[::1]:8080",
		"--memory-limit", "128Mi",
	}, io.Discard)
	want := map[string]string{"10.0.0.1:80": "127.0.0.1:8080", "[fd00::1]:80": "[::1]:8080"}
	if err != nil || !maps.Equal(o.connectTo, want) || o.listenAddress != ":8080" || o.adminAddress != ":9090" || o.drainDelay != 5*time.Second || o.memoryLimit != 128<<20 {
		t.Errorf("options are %+v, %v", o, err)
	}
}

func TestForbidden_HoldsTheAPIServer(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
	for host, want := range map[string][]string{
		"https://172.16.0.1:6443": {"10.96.0.1", "172.16.0.1"}, "https://[fd00::5]:6443/x": {"10.96.0.1", "fd00::5"},
		"172.16.0.2:6443": {"10.96.0.1", "172.16.0.2"}, "172.16.0.3": {"10.96.0.1", "172.16.0.3"},
		"https://api.example": {"10.96.0.1"}, "": {"10.96.0.1"},
	} {
		got := forbidden(&rest.Config{Host: host})
		for _, address := range want {
			if !slices.Contains(got, netip.MustParseAddr(address)) {
				t.Errorf("%s: %v lacks %s", host, got, address)
			}
		}
		own, err := net.InterfaceAddrs()
		if err != nil || len(got) != len(want)+len(own) {
			t.Errorf("%s: %v (%v)", host, got, err)
		}
	}
}

// keepConfig writes a config as an earlier run would have.
func keepConfig(t *testing.T, dir string, backends ...routetable.Backend) {
	t.Helper()
	keepConfigUntil(t, dir, time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC), backends...)
}

func keepConfigUntil(t *testing.T, dir string, sunset time.Time, backends ...routetable.Backend) {
	t.Helper()
	blue := routetable.Backend{Name: "blue", Weight: 1, Addresses: []string{"10.0.0.1:80"}}
	for i := range backends { // one that is given gets the callbacks while it can be reached
		if backends[i].Weight > 0 {
			blue.Weight, backends[i].Failover = 0, &routetable.Failover{Backend: "blue"}
		}
	}
	backends = append(backends, blue)
	encoded, err := routetable.Encode(&routetable.Table{
		Settings: routetable.Settings{ListenerPort: 8080},
		Routes: []routetable.Route{{
			Namespace: "identity", Name: "acme-sso", UID: "uid", Generation: 1, Hostnames: []string{"auth.acme.com"},
			Protocol:       routetable.OIDC,
			Callbacks:      []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: "/cb", PathProbe: len(backends) > 1}},
			Backends:       backends,
			TimeoutSeconds: 30, Sunset: sunset, AfterSunset: routetable.Reject,
		}},
	}, routetable.DefaultShardBytes)
	if err != nil {
		t.Fatal(err)
	}
	disk := source.NewDisk(dir, slog.New(slog.DiscardHandler), func() { t.Error("config cannot be kept") })
	disk.Keep(config.Offer{
		Version: routetable.Version{Epoch: 1, Generation: 1}, ReportKey: strings.Repeat("A", 43) + "=",
		Index: encoded.Index, Shards: map[string]string{encoded.Shards[0].Hash: encoded.Shards[0].Data},
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	disk.Run(ctx)
}

// writeKubeconfig returns a kubeconfig for an API server.
func writeKubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	content := `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],` +
		`"users":[{"name":"x"}],"clusters":[{"name":"x","cluster":{"server":"http://` + server + `"}}]}`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// process is a run of the command in this process.
type process struct {
	callbacks, admin string
	stop             context.CancelFunc
	exited           chan int
}

// start runs the command against an API server that refuses connections and
// returns once it serves.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	kubeconfig := writeKubeconfig(t, dead.Addr().String())
	from, to := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{stop: cancel, exited: make(chan int, 1)}
	args = append([]string{
		"--namespace=edge-system", "--proxy=edge", "--kubeconfig=" + kubeconfig, "--listen-address=127.0.0.1:0",
		"--admin-address=127.0.0.1:0", "--drain-delay=10ms",
	}, args...)
	go func() {
		p.exited <- command(ctx, args, io.Discard, to)
		_ = to.Close()
	}()
	lines := bufio.NewScanner(from)
	for p.callbacks == "" && lines.Scan() {
		var line struct{ Msg, ListenAddress, AdminAddress string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			p.callbacks, p.admin = line.ListenAddress, line.AdminAddress
		}
	}
	go func() { _, _ = io.Copy(io.Discard, from) }()
	if p.callbacks == "" {
		t.Fatal("the command does not serve")
	}
	return p
}

func (p *process) get(t *testing.T, address, path string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "auth.acme.com"
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// F26: with the API server gone, a restart serves what was served before.
func TestF26_RestartWithoutAPIServer(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	defer backend.Close()
	dir := t.TempDir()
	keepConfig(t, dir)
	begin := time.Now()
	p := start(t, "--state-dir="+dir, "--connect-to=10.0.0.1:80="+backend.Listener.Addr().String())
	if status := p.get(t, p.callbacks, "/cb?code=1"); status != http.StatusAccepted {
		t.Errorf("callback is %d", status)
	}
	t.Logf("serving after %s", time.Since(begin))
	for p.get(t, p.admin, "/readyz") != http.StatusOK && time.Since(begin) < 10*time.Second {
		time.Sleep(5 * time.Millisecond)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("ready after %s", took)
	}
	p.stop()
	if code := <-p.exited; code != 0 {
		t.Errorf("exit %d", code)
	}
}

// F28: a damaged file is not served; without another config all requests get 503.
func TestF28_RestartWithDamagedFile(t *testing.T) {
	dir := t.TempDir()
	keepConfig(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	path := filepath.Join(dir, entries[0].Name())
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--state-dir="+dir, "--start-timeout=1ms")
	if status := p.get(t, p.callbacks, "/cb"); status != http.StatusServiceUnavailable {
		t.Errorf("callback is %d", status)
	}
	if status := p.get(t, p.admin, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz is %d", status)
	}
	p.stop()
	if code := <-p.exited; code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestCommand_PortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	var stderr bytes.Buffer
	code := command(t.Context(), []string{
		"--namespace=n", "--proxy=p", "--kubeconfig=" + writeKubeconfig(t, "127.0.0.1:1"),
		"--listen-address=" + taken.Addr().String(),
	}, io.Discard, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "listen for callbacks") {
		t.Errorf("exit %d, stderr %s", code, stderr.String())
	}
}
