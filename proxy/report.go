// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/ed25519"
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

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// maxTokenLife is how far ahead a token may expire: it is made for one
	// request.
	maxTokenLife = 2 * time.Minute
	// clockSkew is how much the controller's clock may differ. A token that is
	// used again within it opens nothing but another look at the same report.
	clockSkew = 5 * time.Minute
)

// TargetChanges are what the health checks have to say: the targets that
// changed after since, in the order of their last change and at most that
// many; next is the since of the next call, and more says that some had no
// room. A since that was never given out gets everything.
type TargetChanges interface {
	Changed(since uint64, most int) (entries []routetable.TargetReport, next uint64, more bool)
}

// Report returns what this instance says of itself. port is where it listens,
// since the cursor of the last report; one of another run of the process, or
// none, gets everything. targets may be nil.
func (s *State) Report(port int32, since string, targets TargetChanges) routetable.Report {
	report := routetable.Report{ListenerPort: port, Refused: s.refusal.Load(), ClockSuspect: s.clock.Suspect(), Boot: s.boot}
	if current := s.Current(); current != nil {
		report.Version, report.Hash = current.Version, current.Hash
	}
	next := parseCursor(since, s.boot)
	var moreTargets, moreRoutes bool
	if targets != nil {
		report.Targets, next.targets, moreTargets = targets.Changed(next.targets, routetable.MaxReportEntries)
	}
	room := routetable.MaxReportEntries - len(report.Targets)
	report.Routes, next.routes, moreRoutes = s.uses.Changed(next.routes, room)
	report.More = moreTargets || moreRoutes
	report.Cursor = next.text(s.boot)
	return report
}

// cursor is how far an asker has read: the last change of each list.
type cursor struct{ targets, routes uint64 }

func (c cursor) text(boot string) string {
	return boot + "." + strconv.FormatUint(c.targets, 10) + "." + strconv.FormatUint(c.routes, 10)
}

// parseCursor reads a cursor of this run. Any other text is the beginning.
func parseCursor(text, boot string) cursor {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != boot {
		return cursor{}
	}
	targets, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return cursor{}
	}
	routes, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return cursor{}
	}
	return cursor{targets, routes}
}

// newReportHandler answers GET /report to whoever holds the private half of
// a report key: of the config that is served, or of a newer one that was
// refused. 401 to everyone else, 503 as long as there is no key.
func newReportHandler(state *State, port int32, targets TargetChanges) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		keys := state.reportKeys()
		if len(keys) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		opens := func(key ed25519.PublicKey) bool {
			return isAuthorized(token, key, localAddress(r), state.clock.Now())
		}
		if !found || !slices.ContainsFunc(keys, opens) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, err := json.Marshal(state.Report(port, r.URL.Query().Get(routetable.ReportSince), targets))
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
