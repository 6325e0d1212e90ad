package main

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/proxy"
	"github.com/callbackproxy/callback-operator/proxy/source"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

func TestAdhoc(t *testing.T) {
	crds, _ := fixture.CRDs()
	cp, err := fixture.StartControlPlane(t.Context(), fixture.Options{CRDs: []string{crds}, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	defer cp.Stop()
	for name, build := range map[string]func() *rest.Config{
		"admin": func() *rest.Config { return rest.CopyConfig(cp.Config) },
		"nobody": func() *rest.Config { c, _ := cp.UserConfig("nobody"); return c },
	} {
		for _, how := range []string{"watch", "ask"} {
			state := proxy.NewState(slog.New(slog.NewTextHandler(os.Stderr, nil)), proxy.NewMetrics(), func() time.Time { return time.Now().Add(-3 * time.Hour) })
			w := newWitness(state.Clock(), time.Now)
			config := build()
			config.Wrap(w.wrap)
			if how == "watch" {
				watch, err := source.NewWatch(config, "default", "edge", state, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				go watch.Run(t.Context())
			} else {
				ask, err := newAsk(config)
				if err != nil {
					t.Fatal(err)
				}
				ask(t.Context())
			}
			begin := time.Now()
			for !state.Clock().Suspect() && time.Since(begin) < 10*time.Second {
				time.Sleep(10 * time.Millisecond)
			}
			t.Log(name, how, "after", time.Since(begin), "suspect", state.Clock().Suspect(), "off by", time.Since(state.Clock().Now()))
		}
	}
}
