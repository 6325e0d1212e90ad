// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

// rival.go: the other proxies, with configs that make them do the same work.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// proxy is one row of the table.
type proxy struct {
	name     string
	upstream upstream
	// hosts is how many hosts the requests are sent for.
	hosts int
	// command returns how to start the proxy, in a directory of its own.
	command func(p place) (fixture.Command, error)
	// ready is a URL that gets 200 when the proxy is ready; empty: the proxy is
	// ready when it accepts connections.
	ready string
}

// upstream is how long the connections to the backend last.
type upstream string

const (
	fresh upstream = "fresh" // for one request
	kept  upstream = "kept"
)

// place is where a proxy runs.
type place struct {
	dir string
	// port is the proxy's, admin another one that is free.
	port, admin int
	// backend is the backend's address.
	backend  string
	upstream upstream
}

func (p *place) write(name, content string) (string, error) {
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", fmt.Errorf("write a config: %w", err)
	}
	return path, nil
}

// find returns a program of Options.Programs or of the system.
func (o *Options) find(name string) (string, bool) {
	for _, path := range []string{filepath.Join(o.Programs, name), name, filepath.Join("/usr/sbin", name)} {
		if found, err := exec.LookPath(path); err == nil {
			return found, true
		}
	}
	return "", false
}

// rivals returns the other proxies that are there, and the names of the others.
func rivals(o *Options, u upstream) (found []proxy, missing []string) {
	add := func(name, program string, command func(string, place) (fixture.Command, error)) {
		path, is := o.find(program)
		if !is {
			missing = append(missing, program)
			return
		}
		found = append(found, proxy{
			name: name, upstream: u, hosts: 1,
			command: func(p place) (fixture.Command, error) { return command(path, p) },
		})
	}
	add("nginx", "nginx", func(path string, p place) (fixture.Command, error) { return nginx(path, p, "off") })
	if u == fresh {
		add("nginx, JSON log", "nginx", func(path string, p place) (fixture.Command, error) {
			return nginx(path, p, filepath.Join(p.dir, "access.log")+" json")
		})
	}
	add("HAProxy", "haproxy", haproxy)
	add("Caddy", "caddy", caddy)
	add("ReverseProxy (Go)", "peer", func(path string, p place) (fixture.Command, error) {
		args := []string{"reverseproxy", "-listen", fmt.Sprintf("127.0.0.1:%d", p.port), "-backend", p.backend, fmt.Sprintf("-keep=%t", p.upstream == kept)}
		return fixture.Command{Path: path, Args: args}, nil
	})
	return found, missing
}

const nginxConfig = `daemon off;
worker_processes 1;
pid DIR/nginx.pid;
error_log DIR/error.log;
USER
events { worker_connections 4096; }
http {
	log_format json escape=json '{"time":"$time_iso8601","host":"$http_host","path":"$uri","status":$status,'
		'"seconds":$request_time,"requestId":"$request_id","backend":"$upstream_addr"}';
	access_log LOG;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	client_body_buffer_size 128k;
	keepalive_requests 1000000000;
	keepalive_timeout 620s;
	upstream backend {
		server BACKEND;
		KEEP
	}
	server {
		listen 127.0.0.1:PORT;
		location / {
			proxy_pass http://backend;
			proxy_http_version 1.1;
			proxy_next_upstream off;
			proxy_set_header Host $http_host;
			proxy_set_header Connection "CONNECTION";
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Host $http_host;
			proxy_set_header X-Forwarded-Proto $scheme;
		}
	}
}
`

func nginx(path string, p place, log string) (fixture.Command, error) {
	keep, connection, user := "", "close", ""
	if p.upstream == kept {
		keep, connection = "keepalive 256; keepalive_requests 1000000000;", ""
	}
	if os.Geteuid() == 0 {
		user = "user root root;" // the worker writes in the directory of the benchmark
	}
	config, err := p.write("nginx.conf", p.fill(nginxConfig, "LOG", log, "USER", user, "KEEP", keep, "CONNECTION", connection))
	return fixture.Command{Path: path, Args: []string{"-p", p.dir, "-e", filepath.Join(p.dir, "error.log"), "-c", config}}, err
}

//nolint:dupword // of HAProxy's language
const haproxyConfig = `global
	nbthread 1
	maxconn 4096
defaults
	mode http
	retries 0
	timeout connect 2s
	timeout client 620s
	timeout server 30s
	timeout http-request 30s
	timeout http-keep-alive 620s
frontend callbacks
	bind 127.0.0.1:PORT
	option forwardfor
	http-request set-header X-Forwarded-Host %[req.hdr(host)]
	http-request set-header X-Forwarded-Proto http
	default_backend backend
backend backend
	KEEP
	server backend BACKEND
`

func haproxy(path string, p place) (fixture.Command, error) {
	keep := "option http-server-close\n\thttp-reuse never"
	if p.upstream == kept {
		keep = "http-reuse always"
	}
	config, err := p.write("haproxy.cfg", p.fill(haproxyConfig, "KEEP", keep))
	return fixture.Command{Path: path, Args: []string{"-db", "-f", config}}, err
}

const caddyConfig = `{
	admin off
	auto_https off
	persist_config off
	log {
		output discard
	}
	servers {
		protocols h1
	}
}
:PORT {
	bind 127.0.0.1
	reverse_proxy BACKEND {
		transport http {
			versions 1.1
			compression off
			KEEP
		}
	}
}
`

func caddy(path string, p place) (fixture.Command, error) {
	keep := "keepalive off"
	if p.upstream == kept {
		keep = "keepalive_idle_conns_per_host 256"
	}
	config, err := p.write("Caddyfile", p.fill(caddyConfig, "KEEP", keep))
	return fixture.Command{
		Path: path, Args: []string{"run", "--adapter", "caddyfile", "--config", config},
		Env: []string{"HOME=" + p.dir, "XDG_DATA_HOME=" + p.dir, "XDG_CONFIG_HOME=" + p.dir},
	}, err
}

// fill replaces the words of a template.
func (p *place) fill(template string, more ...string) string {
	words := append([]string{"DIR", p.dir, "PORT", fmt.Sprint(p.port), "BACKEND", p.backend}, more...)
	return strings.NewReplacer(words...).Replace(template)
}
