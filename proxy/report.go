// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/ed25519"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
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

// newReportHandler answers GET /report to whoever holds the private half of
// the report key of the config that is served: 401 to everyone else, 503 as
// long as there is no config and therefore no key.
func newReportHandler(state *State, port int32, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		current := state.Current()
		if current == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !found || !isAuthorized(token, current.ReportKey, localAddress(r), now()) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, err := json.Marshal(state.Report(port))
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
