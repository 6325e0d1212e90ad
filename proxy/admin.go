// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// admin.go: the admin port: probes, metrics, and the signed report.

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// maxTokenLife is how far ahead a token may expire: it is made for one
	// request.
	maxTokenLife = 2 * time.Minute
	// clockSkew is how much the controller's clock may differ. A token that is
	// used again within it opens the same report once more, and nothing else.
	clockSkew = 5 * time.Minute
)

// adminServer responds on the admin port. port is where callbacks are accepted.
func (s *Server) adminServer(port int32) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(healthy) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.Store.IsReady() || s.draining.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(healthy)
	})
	mux.Handle("GET /metrics", s.Metrics.Handler())
	mux.Handle("GET "+routetable.ReportPath, s.reportHandler(newReporter(s, port)))
	return s.newServer(mux, maxAdminHeadBytes)
}

// healthy is the body of a probe's response.
var healthy = []byte("ok\n")

// TargetChanges are the results of the health checks that changed after a
// cursor, at most that many, and the cursor of the next call; more reports that
// some had no room. They report false for a cursor that needs a full list
// instead; the zero Cursor is one.
type TargetChanges interface {
	Changes(cursor changelog.Cursor, most int) (entries []routetable.TargetReport, next changelog.Cursor, more, ok bool)
}

// noTargets are those of a proxy without health checks.
type noTargets struct{}

// Changes returns none.
func (noTargets) Changes(c changelog.Cursor, _ int) ([]routetable.TargetReport, changelog.Cursor, bool, bool) {
	return nil, c, false, true
}

// reporter makes the reports of one run of the process.
type reporter struct {
	server  *Server
	port    int32
	boot    string
	targets TargetChanges
}

func newReporter(s *Server, port int32) *reporter {
	r := &reporter{server: s, port: port, boot: rand.Text(), targets: s.Targets}
	if r.targets == nil {
		r.targets = noTargets{}
	}
	return r
}

// report returns the state of this instance, and what changed since the cursor
// of the last report. An unknown cursor, or one that is too old, gets a full
// list.
func (r *reporter) report(since string) routetable.Report {
	store := r.server.Store
	report := routetable.Report{
		ListenerPort: r.port, Refused: store.Refusal(), ClockSuspect: r.server.Clock.Suspect(), Boot: r.boot,
		Forwarding: r.server.Usage.Claims.Report(r.server.Clock.Now()),
	}
	if current := store.Current(); current != nil {
		report.Version, report.Hash = current.Version, current.Hash
	}
	next, ok := r.appendChanges(&report, parseCursor(since, r.boot))
	if !ok {
		next, _ = r.appendChanges(&report, cursor{})
	}
	report.Cursor = next.text(r.boot)
	return report
}

// appendChanges adds the changes after a cursor. It reports false where either
// list needs to be full: then both are.
func (r *reporter) appendChanges(to *routetable.Report, since cursor) (next cursor, ok bool) {
	to.Full = since == cursor{}
	var moreTargets, moreRoutes bool
	if to.Targets, next.targets, moreTargets, ok = r.targets.Changes(since.targets, routetable.MaxReportEntries); !ok {
		return next, false
	}
	room := routetable.MaxReportEntries - len(to.Targets)
	if to.Routes, next.routes, moreRoutes, ok = r.server.Usage.Changes(since.routes, room); !ok {
		return next, false
	}
	to.More = moreTargets || moreRoutes
	return next, true
}

// cursor is how far a reader has read each list.
type cursor struct{ targets, routes changelog.Cursor }

func (c cursor) text(boot string) string {
	text := []byte(boot)
	for _, n := range [...]uint64{c.targets.Position, c.targets.Base, c.routes.Position, c.routes.Base} {
		text = strconv.AppendUint(append(text, '.'), n, 10)
	}
	return string(text)
}

// parseCursor reads a cursor of this run of the process. Any other text gives
// the zero cursor.
func parseCursor(text, boot string) cursor {
	parts := strings.Split(text, ".")
	if len(parts) != 5 || parts[0] != boot {
		return cursor{}
	}
	var numbers [4]uint64
	for i, part := range parts[1:] {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return cursor{}
		}
		numbers[i] = n
	}
	return cursor{
		targets: changelog.Cursor{Position: numbers[0], Base: numbers[1]},
		routes:  changelog.Cursor{Position: numbers[2], Base: numbers[3]},
	}
}

// reportHandler responds to GET /report for the holder of the private half of a
// report key: of the config that is served, or of a newer one that was refused.
// Other clients get 401, and all get 503 as long as there is no key.
func (s *Server) reportHandler(reports *reporter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		keys := s.Store.ReportKeys()
		if len(keys) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		opens := func(key ed25519.PublicKey) bool {
			return isAuthorized(token, key, localAddress(r), s.Clock.Now())
		}
		if !found || !slices.ContainsFunc(keys, opens) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, err := json.Marshal(reports.report(r.URL.Query().Get(routetable.ReportSince)))
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
}

// isAuthorized reports whether a token was signed with the key, for this
// address, and is in its time. EdDSA is the only algorithm, so no token can
// choose a weaker one.
func isAuthorized(token string, key ed25519.PublicKey, address string, now time.Time) bool {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return false
	}
	var claims jwt.Claims
	if err := parsed.Claims(key, &claims); err != nil {
		return false
	}
	if address == "" || len(claims.Audience) != 1 || claims.Audience[0] != routetable.ReportAudience(address) {
		return false
	}
	if claims.Expiry == nil || claims.Expiry.Time().After(now.Add(maxTokenLife+clockSkew)) {
		return false
	}
	return claims.ValidateWithLeeway(jwt.Expected{Time: now}, clockSkew) == nil
}

// localAddress returns the address at which a request arrived, as IP:port, or
// the empty string.
func localAddress(r *http.Request) string {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return ""
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return ""
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()).String()
}
