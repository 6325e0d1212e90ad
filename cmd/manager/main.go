// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager is the controller of callback-operator: it compiles the
// CallbackRoutes of each CallbackProxy into the config of its proxies and
// keeps their statuses.
package main

import (
	"cmp"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.uber.org/zap/zapcore"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/callbackproxy/callback-operator/cmd/internal/kubeapi"
	"github.com/callbackproxy/callback-operator/controllers"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/internal/apitime"
)

// version is set when a release is built.
var version = "dev"

type options struct {
	metricsAddress string
	metricsSecure  bool
	healthAddress  string
	leaderElect    bool
	leaseNamespace string
	leaseDuration  time.Duration
	renewDeadline  time.Duration
	retryPeriod    time.Duration
	qps            float64
	burst          int
	showVersion    bool
	logging        zap.Options
	fleets
}

// gcPercent keeps the heap small: most allocations are decoded objects that live
// shortly. The environment variable GOGC overrides it.
const gcPercent = 75

// requestTimeout bounds a request of the manager, so that a hanging one does not
// hold a worker. It does not apply to the lists and watches of the cache.
const requestTimeout = 5 * time.Second

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	o := options{logging: zap.Options{TimeEncoder: zapcore.RFC3339TimeEncoder}}
	o.bind(flag.CommandLine)
	flag.Parse()
	if o.showVersion {
		fmt.Println("callback-manager", version)
		return
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "callback-manager takes flags only, not %q; see --help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.logging)))
	if err := run(&o); err != nil {
		ctrl.Log.Error(err, "manager stopped")
		os.Exit(1)
	}
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "address of /metrics; 0 turns it off")
	flags.BoolVar(&o.metricsSecure, "metrics-secure", true, "serve /metrics by HTTPS to authorized callers only")
	flags.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "elect a leader among several managers; without it, run only one")
	flags.StringVar(&o.leaseNamespace, "leader-elect-namespace", "", "namespace of the lease; when empty, the manager's own, and outside a cluster default")
	flags.DurationVar(&o.leaseDuration, "leader-elect-lease-duration", 13*time.Second, "how long other managers wait after the last renewal of a leader")
	flags.DurationVar(&o.renewDeadline, "leader-elect-renew-deadline", 10*time.Second, "how long a leader tries to renew before it stops")
	flags.DurationVar(&o.retryPeriod, "leader-elect-retry-period", time.Second, "time between two attempts")
	flags.Float64Var(&o.qps, "kube-api-qps", 400, "most requests to the API server per second for each kind, watches aside")
	flags.IntVar(&o.burst, "kube-api-burst", 800, "most requests to the API server at once for each kind")
	flags.BoolVar(&o.showVersion, "version", false, "print the version and exit")
	o.logging.BindFlags(flags)
	o.fleets.bind(flags, os.Getenv)
}

func run(o *options) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the API server: %w; set --kubeconfig or KUBECONFIG, or run in a cluster", err)
	}
	own := ownNamespace(os.Getenv, os.ReadFile)
	settings, err := o.settings(own)
	if err != nil {
		return err
	}
	config.QPS, config.Burst, config.Timeout = float32(o.qps), o.burst, requestTimeout
	clock := apitime.NewClock(time.Now, nil)
	controllers.ExportClock(clock)
	config.Wrap(clock.Wrap)
	config.Wrap(kubeapi.EndWatches)
	var lease resourcelock.Interface
	if o.leaderElect {
		if lease, err = newLease(config, cmp.Or(o.leaseNamespace, own, metav1.NamespaceDefault), o.renewDeadline); err != nil {
			return err
		}
	}
	config.Wrap(kube.Throttle) // a lease has a level of its own in the API server's priorities
	metrics := server.Options{BindAddress: o.metricsAddress, SecureServing: o.metricsSecure}
	if o.metricsSecure {
		metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
		metrics.TLSOpts = []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }}
	}
	caching := kube.CacheOptions(settings.Scope)
	if caching.HTTPClient, err = kube.NewCacheClient(config); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                              kube.NewScheme(),
		MapperProvider:                      kube.NewMapper,
		Cache:                               caching,
		Client:                              controllers.ClientOptions(),
		Metrics:                             metrics,
		HealthProbeBindAddress:              o.healthAddress,
		LeaderElection:                      o.leaderElect,
		LeaderElectionResourceLockInterface: lease,
		LeaderElectionReleaseOnCancel:       true,
		LeaseDuration:                       &o.leaseDuration,
		RenewDeadline:                       &o.renewDeadline,
		RetryPeriod:                         &o.retryPeriod,
	})
	if err != nil {
		return fmt.Errorf("make manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("healthz", healthz.Ping); err != nil {
		return fmt.Errorf("add health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("readyz", healthz.Ping); err != nil {
		return fmt.Errorf("add readiness check: %w", err)
	}
	ctx := ctrl.SetupSignalHandler()
	if err := controllers.Setup(ctx, mgr, clock, settings); err != nil {
		return err
	}
	ctrl.Log.Info("manager starts", "version", version)
	return mgr.Start(ctx)
}
