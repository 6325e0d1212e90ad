// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// options.go: the flags of the command.

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/callbackproxy/callback-operator/proxy"
)

type options struct {
	namespace, proxy            string
	kubeconfig                  string
	listenAddress, adminAddress string
	stateDir                    string
	appPort                     int
	connectTo                   connectTo
	drainDelay, startTimeout    time.Duration
	memoryLimit                 amount
	version                     bool
}

// errHelp reports that the flags were requested and printed.
var errHelp = errors.New("help")

// parse reads the flags. Usage goes to w only when it is requested.
func parse(args []string, w io.Writer) (options, error) {
	o := options{connectTo: connectTo{}}
	flags := flag.NewFlagSet("callback-proxy", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.namespace, "namespace", "", "`namespace` of the CallbackProxy (required)")
	flags.StringVar(&o.proxy, "proxy", "", "`name` of the CallbackProxy (required)")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` with the way to the API server; without it, the pod's own account is used")
	flags.StringVar(&o.listenAddress, "listen-address", ":8080", "`address` for callbacks")
	flags.StringVar(&o.adminAddress, "admin-address", ":9090", "`address` for /healthz, /readyz, /metrics and /report")
	flags.StringVar(&o.stateDir, "state-dir", "", "`directory` for the last good config; without it, a restart needs the API server")
	flags.IntVar(&o.appPort, "app-port", 0, "`port` on 127.0.0.1 that gets all requests that are no callbacks, for a sidecar; 0: none")
	flags.Var(o.connectTo, "connect-to", "dial HOST:PORT instead of a backend's address, as `IP:PORT=HOST:PORT`; for local runs, repeatable")
	flags.DurationVar(&o.drainDelay, "drain-delay", 5*time.Second, "how long callbacks are accepted after SIGTERM")
	flags.DurationVar(&o.startTimeout, "start-timeout", 1500*time.Millisecond,
		"how long a start waits for the API server before the config on disk is served")
	flags.Var(&o.memoryLimit, "memory-limit", "memory that the proxy may use, as an `amount` such as 128Mi; without it, the limit of the container")
	flags.BoolVar(&o.version, "version", false, "print the version and exit")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(w)
		flags.Usage()
		return o, errHelp
	case err != nil:
		return o, err
	case o.version:
		return o, nil
	}
	return o, o.check(flags.Args())
}

func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.namespace == "":
		return errors.New("--namespace is required: the namespace of the CallbackProxy")
	case o.proxy == "":
		return errors.New("--proxy is required: the name of the CallbackProxy")
	case o.drainDelay < 0 || o.drainDelay > proxy.MaxDrainDelay:
		return fmt.Errorf("--drain-delay must be between 0s and %s", proxy.MaxDrainDelay)
	case o.startTimeout < 0:
		return errors.New("--start-timeout must not be negative")
	}
	return o.checkAppPort()
}

// checkAppPort refuses ports that would pass requests round in a circle.
func (o *options) checkAppPort() error {
	if o.appPort < 0 || o.appPort > 65535 {
		return errors.New("--app-port must be a port, or 0 for none")
	}
	for name, address := range map[string]string{"listen-address": o.listenAddress, "admin-address": o.adminAddress} {
		if _, port, err := net.SplitHostPort(address); err == nil && o.appPort != 0 && port == strconv.Itoa(o.appPort) {
			return fmt.Errorf("--app-port is the application's, and %d is the port of --%s", o.appPort, name)
		}
	}
	return nil
}

// amount is a flag with an amount of memory, in the words of Kubernetes.
type amount uint64

// leastMemory is what a proxy needs to start.
const leastMemory = 32 << 20

// String implements flag.Value.
func (a *amount) String() string { return "" }

// Set reads an amount.
func (a *amount) Set(value string) error {
	quantity, err := resource.ParseQuantity(value)
	if err != nil || quantity.Value() < leastMemory {
		return errors.New("want an amount of at least 32Mi, such as 128Mi")
	}
	*a = amount(quantity.Value()) //nolint:gosec // above 0
	return nil
}

// connectTo is a flag that maps addresses.
type connectTo map[string]string

// String implements flag.Value.
func (c connectTo) String() string { return "" }

// Set adds one mapping, IP:PORT=HOST:PORT.
func (c connectTo) Set(value string) error {
	from, to, found := strings.Cut(value, "=")
	if !found {
		return errors.New("want IP:PORT=HOST:PORT")
	}
	if ap, err := netip.ParseAddrPort(from); err != nil || ap.String() != from {
		return fmt.Errorf("%q is not IP:PORT", from)
	}
	if _, port, err := net.SplitHostPort(to); err != nil || port == "" {
		return fmt.Errorf("%q is not HOST:PORT", to)
	}
	if _, twice := c[from]; twice {
		return fmt.Errorf("%s is mapped twice", from)
	}
	c[from] = to
	return nil
}
