// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// F29: while configs are swapped, each request sees one version from its first
// decision to its last header: path, host, link and the backend that responds
// belong together.
func TestF29_EveryRequestSeesExactlyOneVersion(t *testing.T) {
	r := newRig(t)
	for i := range 4 {
		r.connectTo[fmt.Sprintf("10.0.1.%d:80", i)] = echo(t, i)
	}
	generation := func(n int) routetable.Route {
		return newRoute(func(route *routetable.Route) {
			route.InfoURL = fmt.Sprintf("https://info.example/v%d", n)
			route.Backends = []routetable.Backend{{
				Name: fmt.Sprintf("b%d", n%4), Weight: 1, Addresses: []string{fmt.Sprintf("10.0.1.%d:80", n%4)},
				Paths: []routetable.BackendPath{{Callback: "login", Path: fmt.Sprintf("/v%d", n)}}, Host: fmt.Sprintf("v%d.example", n),
			}}
		})
	}
	const swaps, clients = 200, 200
	offers := make([]config.Offer, swaps)
	for i := range offers {
		offers[i] = newOffer(t, v(1, int64(i+1)), r.public, routetable.Settings{}, generation(i))
	}
	r.store.Adopt(offers[0])

	done, progress := make(chan struct{}), make(chan struct{}, clients)
	versions := make([]map[string]struct{}, clients)
	var stop sync.WaitGroup
	for i := range clients {
		versions[i] = map[string]struct{}{}
		stop.Go(func() {
			for {
				versions[i][oneVersion(t, exchangeRaw(t, r.address, getBytes("/cb")))] = struct{}{}
				select {
				case progress <- struct{}{}:
				case <-done:
					return
				}
			}
		})
	}
	for _, o := range offers[1:] {
		if refusal := r.store.Adopt(o); refusal != nil {
			t.Errorf("refused: %+v", refusal)
		}
		if refusal := r.store.Adopt(offers[0]); refusal == nil {
			t.Error("went back")
		}
		for range 10 {
			<-progress
		}
	}
	close(done)
	stop.Wait()
	seen := map[string]struct{}{}
	for _, m := range versions {
		maps.Copy(seen, m)
	}
	if len(seen) < swaps/4 {
		t.Errorf("the requests saw only %d versions", len(seen))
	}
	t.Logf("%d versions seen", len(seen))
}

// oneVersion fails unless all of an answer is of one version, and returns it.
func oneVersion(t *testing.T, got response) string {
	t.Helper()
	version := strings.TrimSuffix(strings.TrimPrefix(got.header.Get("Link"), "<https://info.example/"), `>; rel="sunset"`)
	var number int
	_, _ = fmt.Sscanf(version, "v%d", &number)
	if want := fmt.Sprintf("%d GET /%s HTTP/1.1 %s.example", number%4, version, version); got.status != 200 || got.body != want {
		t.Errorf("response is %d %q, want %q (%v)", got.status, got.body, want, got.err)
	}
	return version
}
