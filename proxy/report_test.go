// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/ed25519"
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func sign(t testing.TB, algorithm jose.SignatureAlgorithm, key, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claimsFor are those of a controller that asks this address.
func claimsFor(address string, now time.Time) jwt.Claims {
	return jwt.Claims{
		Audience: jwt.Audience{routetable.ReportAudience(address)},
		Expiry:   jwt.NewNumericDate(now.Add(time.Minute)), IssuedAt: jwt.NewNumericDate(now),
	}
}

func (r *rig) report(token string) answer {
	return exchangeRaw(r.t, r.admin, getBytes(routetable.ReportPath, "Authorization: Bearer "+token))
}

func TestReport_SaysWhatRuns(t *testing.T) {
	r := newRig(t)
	token := sign(t, jose.EdDSA, r.private, claimsFor(r.admin, begin))
	if got := r.report(token); got.status != 503 {
		t.Errorf("without a config: %d", got.status)
	}
	r.version.Epoch = 3
	r.serve(newRoute(nil))
	current := r.state.Current()
	older := newOffer(t, v(2, 9), r.public, routetable.Settings{}, newRoute(nil))
	r.state.Adopt(older)

	got := r.report(token)
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("answer is %d %v", got.status, got.header)
	}
	var report routetable.Report
	if err := json.Unmarshal([]byte(got.body), &report); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(r.address)
	if report.Version != v(3, 1) || report.Hash != current.Hash || strconv.Itoa(int(report.ListenerPort)) != port {
		t.Errorf("report is %+v", report)
	}
	if report.Refused == nil || report.Refused.Version != v(2, 9) || report.Refused.Reason != routetable.RefusedOlder || report.Refused.Hash != older.Index.Hash {
		t.Errorf("refusal is %+v", report.Refused)
	}
	r.serve(newRoute(nil))
	if got := r.report(token); strings.Contains(got.body, "refused") {
		t.Errorf("after a newer config: %s", got.body)
	}
}

func TestReport_OnlyForTheController(t *testing.T) {
	r := newRig(t)
	r.serve(newRoute(nil))
	_, other, _ := ed25519.GenerateKey(nil)
	good := claimsFor(r.admin, begin)
	with := func(change func(*jwt.Claims)) jwt.Claims {
		c := good
		change(&c)
		return c
	}
	valid := sign(t, jose.EdDSA, r.private, good)
	segments := strings.Split(valid, ".")
	expiring := func(d time.Duration) jwt.Claims {
		return with(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(begin.Add(d)) })
	}
	for _, tc := range []struct {
		name, token string
		status      int
	}{
		{"valid", valid, 200},
		{"no issue time", sign(t, jose.EdDSA, r.private, with(func(c *jwt.Claims) { c.IssuedAt = nil })), 200},
		{"expired within the clocks' difference", sign(t, jose.EdDSA, r.private, expiring(-4*time.Minute)), 200},
		{"longest life and difference", sign(t, jose.EdDSA, r.private, expiring(7*time.Minute)), 200},

		{"none", "", 401},
		{"nonsense", "x.y.z", 401},
		{"another key", sign(t, jose.EdDSA, other, good), 401},
		{"changed", segments[0] + "." + segments[1] + "." + strings.Repeat("A", len(segments[2])), 401},
		{"without signature", segments[0] + "." + segments[1] + ".", 401},
		{"algorithm none", "eyJhbGciOiJub25lIn0." + segments[1] + ".", 401},
		{"HMAC with the public key", sign(t, jose.HS256, []byte(r.public), good), 401},
		{"expired", sign(t, jose.EdDSA, r.private, expiring(-6*time.Minute)), 401},
		{"too long a life", sign(t, jose.EdDSA, r.private, expiring(8*time.Minute)), 401},
		{"no expiry", sign(t, jose.EdDSA, r.private, with(func(c *jwt.Claims) { c.Expiry = nil })), 401},
		{"not yet", sign(t, jose.EdDSA, r.private, with(func(c *jwt.Claims) {
			c.NotBefore = jwt.NewNumericDate(begin.Add(6 * time.Minute))
		})), 401},
		{"issued in the future", sign(t, jose.EdDSA, r.private, with(func(c *jwt.Claims) {
			c.IssuedAt = jwt.NewNumericDate(begin.Add(6 * time.Minute))
		})), 401},
		{"another pod", sign(t, jose.EdDSA, r.private, claimsFor("10.0.0.9:9090", begin)), 401},
		{"no audience", sign(t, jose.EdDSA, r.private, with(func(c *jwt.Claims) { c.Audience = nil })), 401},
		{"two audiences", sign(t, jose.EdDSA, r.private, with(func(c *jwt.Claims) {
			c.Audience = append(jwt.Audience{"x"}, c.Audience...)
		})), 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := r.report(tc.token)
			if got.status != tc.status || tc.status == 401 && got.body != "" {
				t.Errorf("answer is %d %q, want %d", got.status, got.body, tc.status)
			}
		})
	}
	// A new leader's key takes the place of the old one's.
	r.public, _, _ = ed25519.GenerateKey(nil)
	r.serve(newRoute(nil))
	if got := r.report(valid); got.status != 401 {
		t.Errorf("the old key still opens: %d", got.status)
	}
}

// leadership is one that publishes with a key of its own.
type leadership struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
}

func newLeadership() (l leadership) {
	l.public, l.private, _ = ed25519.GenerateKey(nil)
	return l
}

// unreadable is a config of a format that no proxy knows, yet.
func (l leadership) unreadable(t *testing.T, version routetable.Version) Offer {
	t.Helper()
	o := newOffer(t, version, l.public, routetable.Settings{}, newRoute(nil))
	o.Index.Data = `{"format":99}`
	o.Index.Hash = routetable.HashOf(o.Index.Data)
	return o
}

// hears asks for a report and returns the status and what was refused.
func (r *rig) hears(l leadership) (int, *routetable.Refusal) {
	r.t.Helper()
	got := r.report(sign(r.t, jose.EdDSA, l.private, claimsFor(r.admin, begin)))
	var report routetable.Report
	if got.status == 200 {
		if err := json.Unmarshal([]byte(got.body), &report); err != nil {
			r.t.Fatal(err)
		}
	}
	return got.status, report.Refused
}

// A new leadership hears why its config was refused, though what is served is
// of another one, and its key opens nothing any more once that is over.
func TestReport_RefusalIsHeardAcrossLeaderships(t *testing.T) {
	r := newRig(t)
	first := leadership{r.public, r.private}
	second, third := newLeadership(), newLeadership()
	wants := func(when string, l leadership, status int, refused string) {
		t.Helper()
		got, refusal := r.hears(l)
		if got != status || (refusal == nil) != (refused == "") || refusal != nil && refusal.Reason != refused {
			t.Errorf("%s: %d with %+v, want %d with %q", when, got, refusal, status, refused)
		}
	}
	r.state.Adopt(second.unreadable(t, v(2, 1)))
	wants("nothing was ever adopted", second, 200, routetable.RefusedInvalid)
	wants("nothing was ever adopted, of another", first, 401, "")

	r.version.Epoch = 3
	r.serve(newRoute(nil))
	wants("adopted another", first, 200, "")
	wants("refused before that", second, 401, "")

	r.state.Adopt(second.unreadable(t, v(2, 9)))
	wants("older, so perhaps replayed", second, 401, "")
	wants("older", first, 200, routetable.RefusedOlder)

	r.state.Adopt(third.unreadable(t, v(4, 1)))
	wants("newer", third, 200, routetable.RefusedInvalid)
	wants("newer, for who made what is served", first, 200, routetable.RefusedInvalid)
	r.state.Adopt(second.unreadable(t, v(2, 9)))
	wants("an older one came after it", third, 200, routetable.RefusedOlder)
	bad := third.unreadable(t, v(4, 2))
	bad.ReportKey = "x"
	r.state.Adopt(bad)
	wants("a newer one without a key", third, 200, routetable.RefusedInvalid)

	fourth := newLeadership()
	incomplete := newOffer(t, v(5, 1), fourth.public, routetable.Settings{}, newRoute(func(r *routetable.Route) { r.Path = "/x" }))
	incomplete.Shards = nil
	r.state.Adopt(incomplete)
	wants("incomplete", fourth, 200, routetable.RefusedIncomplete)
	wants("the last one counts", third, 401, "")

	r.version.Generation++
	r.serve(newRoute(nil))
	wants("adopted", first, 200, "")
	wants("adopted, before that", fourth, 401, "")
	r.state.Adopt(third.unreadable(t, v(6, 1)))
	wants("once more", third, 200, routetable.RefusedInvalid)
	if refusal := r.state.Adopt(newOffer(t, r.version, first.public, routetable.Settings{}, newRoute(nil))); refusal != nil {
		t.Fatalf("%+v", refusal)
	}
	wants("what is served was offered again", first, 200, "")
	wants("what is served was offered again, and not its own", third, 401, "")
}

// targets are health checks that found something out about so many targets,
// one after the other.
type targets uint64

func (n targets) Changed(since uint64, most int) (entries []routetable.TargetReport, next uint64, more bool) {
	if since > uint64(n) {
		since = 0
	}
	for next = since; next < uint64(n) && len(entries) < most; next++ {
		entries = append(entries, routetable.TargetReport{ID: strconv.FormatUint(next, 10), State: routetable.TargetHealthy})
	}
	return entries, next, next < uint64(n)
}

// reportSince asks with a cursor for a report that has room for everything.
func (r *rig) reportSince(since string) (report routetable.Report) {
	r.t.Helper()
	token := sign(r.t, jose.EdDSA, r.private, claimsFor(r.admin, begin))
	got := exchangeRaw(r.t, r.admin, getBytes(routetable.ReportPath+"?since="+since, "Authorization: Bearer "+token))
	if err := json.Unmarshal([]byte(got.body), &report); err != nil || report.More || report.ClockSuspect {
		r.t.Fatalf("%d %q %v", got.status, got.body, err)
	}
	return report
}

func uids(report routetable.Report) (uids []string) {
	for _, use := range report.Routes {
		uids = append(uids, use.UID)
	}
	return uids
}

func TestReport_TellsWhatChangedSinceTheLast(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	second := newRoute(func(r *routetable.Route) { r.UID, r.Name, r.Path = "uid2", "other", "/other" })
	r.serve(newRoute(nil), second)
	first := r.reportSince("")
	if first.Boot == "" || first.Cursor == "" || first.Routes != nil || first.Targets != nil {
		t.Fatalf("report is %+v", first)
	}
	r.get("/cb?code=1")
	r.get("/other?code=1")
	two := r.reportSince(first.Cursor)
	if got := uids(two); !slices.Equal(got, []string{"uid", "uid2"}) || two.Boot != first.Boot {
		t.Errorf("both: %v", got)
	}
	r.get("/cb?code=1")
	if got := r.reportSince(two.Cursor); !slices.Equal(uids(got), []string{"uid"}) || got.Routes[0].Callbacks != 2 || !got.Routes[0].Last.Equal(begin) {
		t.Errorf("one: %+v", got.Routes)
	} else if again := r.reportSince(got.Cursor); again.Routes != nil || again.Cursor != got.Cursor {
		t.Errorf("none: %+v", again)
	}
	for _, unknown := range []string{
		"", "x", "..", "otherboot.0.2", first.Boot, first.Boot + ".0", first.Boot + ".0.-1", first.Boot + ".x.2", first.Boot + ".0.2.0",
		first.Boot + ".0.99", first.Boot + ".0.99999999999999999999",
	} {
		if got := uids(r.reportSince(unknown)); len(got) != 2 {
			t.Errorf("cursor %q gets %v", unknown, got)
		}
	}
}

func TestReport_HasRoomForSoMany(t *testing.T) {
	state, _ := newTestState()
	table := &routetable.Table{}
	const routes = 6000
	for i := range routes {
		table.Routes = append(table.Routes, newRoute(func(r *routetable.Route) { r.UID = strconv.Itoa(i) }))
	}
	for _, record := range state.uses.follow(table) {
		state.uses.count(record, visit{kind: other})
	}
	seen, reports, since := map[string]struct{}{}, 0, ""
	for more := true; more; reports++ {
		report := state.Report(1, since, targets(5000))
		if n := len(report.Targets) + len(report.Routes); n > routetable.MaxReportEntries || report.More && n < routetable.MaxReportEntries {
			t.Fatalf("%d entries, more %v", n, report.More)
		}
		for _, target := range report.Targets {
			seen["target "+target.ID] = struct{}{}
		}
		for _, use := range report.Routes {
			seen["route "+use.UID] = struct{}{}
		}
		since, more = report.Cursor, report.More
	}
	if len(seen) != 5000+routes || reports != 3 {
		t.Errorf("%d entries seen in %d reports", len(seen), reports)
	}
	if last := state.Report(1, since, targets(5000)); last.Targets != nil || last.Routes != nil {
		t.Error("something is left")
	}
}
