// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// front_test.go: the programs in front of the proxies, with the settings that
// docs/in-front-of-the-proxies.md has for them.

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// front is a program in front of the proxies.
type front struct {
	name     string
	programs []string
	// language is that of its block on the page.
	language string
	// complete adds to the block what a program needs to run in a directory.
	complete func(dir, settings string) string
	args     func(dir, config string) []string
}

// fronts are those that can be tried here.
var fronts = []front{
	{
		name: "nginx", programs: []string{"nginx", "/usr/sbin/nginx"}, language: "nginx",
		complete: func(dir, settings string) string {
			var b strings.Builder
			if os.Getuid() == 0 {
				b.WriteString("user root;")
			}
			fmt.Fprintf(&b, "daemon off; worker_processes 1; pid %s/pid; error_log stderr;\nevents { worker_connections 1024; }\nhttp { access_log off;\n", dir)
			for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
				fmt.Fprintf(&b, "%s_temp_path %s/%s; ", name, dir, name)
			}
			return b.String() + "\nkeepalive_requests 1000000;\n" + settings + "}\n"
		},
		args: func(dir, config string) []string { return []string{"-p", dir, "-e", "stderr", "-c", config} },
	},
	{
		name: "HAProxy", programs: []string{"haproxy", "/usr/sbin/haproxy"}, language: "haproxy",
		complete: func(_, settings string) string { return settings },
		args:     func(_, config string) []string { return []string{"-db", "-f", config} },
	},
	{
		name: "Apache httpd", programs: []string{"apache2", "/usr/sbin/apache2"}, language: "apache",
		complete: func(dir, settings string) string {
			var b strings.Builder
			fmt.Fprintf(&b, "ServerRoot %s\nServerName front.test\nPidFile %s/pid\nDefaultRuntimeDir %s\nErrorLog %s/error.log\nUser www-data\nGroup www-data\n", dir, dir, dir, dir)
			b.WriteString("MaxKeepAliveRequests 0\n")
			for _, module := range []string{"mpm_event", "authz_core", "headers", "proxy", "proxy_http"} {
				fmt.Fprintf(&b, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", module, module)
			}
			return b.String() + settings
		},
		args: func(_, config string) []string { return []string{"-DFOREGROUND", "-f", config} },
	},
	{
		name: "Caddy", programs: []string{"caddy"}, language: "caddyfile",
		complete: func(_, settings string) string {
			return strings.Replace(settings, "{\n", "{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\tlog {\n\t\tlevel ERROR\n\t}\n", 1)
		},
		args: func(_, config string) []string { return []string{"run", "--adapter", "caddyfile", "--config", config} },
	},
}

// The name of the Service and the port of the front, as the page has them.
const documentedService = "callback-edge.callback-system.svc:8080"

var documentedListen = regexp.MustCompile(`(?m)^(\s*)(listen 80;|bind :80|Listen 80|:80 \{|<VirtualHost \*:80>)$`)

// documented returns the settings of the page in a language.
func documented(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "in-front-of-the-proxies.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```"+language+"\n(.*?\n)```\n").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 1 || !strings.Contains(blocks[0][1], documentedService) {
		t.Fatalf("docs/in-front-of-the-proxies.md has %d blocks of %s, want one that names %s", len(blocks), language, documentedService)
	}
	return blocks[0][1]
}

// start runs the front with settings in place of those of the page's block, and
// returns its address. target stands for the Service.
func (f *front) start(t *testing.T, settings, target string) string {
	t.Helper()
	program := need(t, f.programs...)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	if len(documentedListen.FindAllString(settings, -1)) == 0 {
		t.Fatalf("the settings of %s have no line for port 80", f.name)
	}
	settings = documentedListen.ReplaceAllStringFunc(settings, func(line string) string {
		line = strings.Replace(line, "*:80", address, 1)
		line = strings.Replace(line, ":80", address, 1)
		return regexp.MustCompile(`\b80\b(;?)$`).ReplaceAllString(line, address+"$1")
	})
	if f.language == "caddyfile" {
		settings = strings.Replace(settings, address+" {", "http://:"+portOf(address)+" {\n\tbind 127.0.0.1", 1)
	}
	settings = strings.ReplaceAll(settings, documentedService, target)
	config := filepath.Join(dir, "front.conf")
	if err := os.WriteFile(config, []byte(f.complete(dir, settings)), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(program, f.args(dir, config)...)
	process.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	var log bytes.Buffer
	process.Stderr = &log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = process.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() {
			more, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("%s: %.4000s%.4000s", f.name, log.String(), more)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // the interval of polling
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return address
		}
		select {
		case <-exited:
			t.Fatalf("%s does not start: %s", f.name, log.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %v", f.name, err)
		}
	}
}

// eachFront runs a test for every front, by its documented settings.
func eachFront(t *testing.T, test func(t *testing.T, f *front, settings string)) {
	t.Helper()
	for i := range fronts {
		f := &fronts[i]
		t.Run(f.name, func(t *testing.T) { test(t, f, documented(t, f.language)) })
	}
}

// with replaces a line of settings, which has to be there.
func with(t *testing.T, settings, line, other string) string {
	t.Helper()
	changed := regexp.MustCompile(`(?m)^\s*`+regexp.QuoteMeta(line)+`$`).ReplaceAllString(settings, other)
	if changed == settings {
		t.Fatalf("the settings have no line %q:\n%s", line, settings)
	}
	return changed
}
