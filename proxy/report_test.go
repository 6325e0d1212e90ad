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

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
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

// claimsFor are those of a controller that requests the report at this address.
func claimsFor(address string, now time.Time) jwt.Claims {
	return jwt.Claims{
		Audience: jwt.Audience{routetable.ReportAudience(address)},
		Expiry:   jwt.NewNumericDate(now.Add(time.Minute)), IssuedAt: jwt.NewNumericDate(now),
	}
}

func (r *rig) report(token string) response {
	return exchangeRaw(r.t, r.admin, getBytes(routetable.ReportPath, "Authorization: Bearer "+token))
}

func TestReport_NamesTheConfig(t *testing.T) {
	r := newRig(t)
	token := sign(t, jose.EdDSA, r.private, claimsFor(r.admin, begin))
	if got := r.report(token); got.status != 503 {
		t.Errorf("without a config: %d", got.status)
	}
	r.version.Epoch = 3
	r.serve(newRoute(nil))
	current := r.store.Current()
	older := newOffer(t, v(2, 9), r.public, routetable.Settings{}, newRoute(nil))
	r.store.Adopt(older)

	got := r.report(token)
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("response is %d %v", got.status, got.header)
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
				t.Errorf("response is %d %q, want %d", got.status, got.body, tc.status)
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

// newerFormat is a config of a format that no proxy reads yet.
func (l leadership) newerFormat(t *testing.T, version routetable.Version) config.Offer {
	t.Helper()
	o := newOffer(t, version, l.public, routetable.Settings{}, newRoute(nil))
	o.Index.Data = `{"format":99}`
	o.Index.Hash = routetable.HashOf(o.Index.Data)
	return o
}

// refusalFor requests a report and returns the status and the refusal in it.
func (r *rig) refusalFor(l leadership) (int, *routetable.Refusal) {
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

// A new leadership can read why its config was refused while the config of
// another one is served, and its key opens nothing once a config is adopted.
func TestReport_RefusalIsReadableAcrossLeaderships(t *testing.T) {
	r := newRig(t)
	first := leadership{r.public, r.private}
	second, third := newLeadership(), newLeadership()
	wants := func(when string, l leadership, status int, refused string) {
		t.Helper()
		got, refusal := r.refusalFor(l)
		if got != status || (refusal == nil) != (refused == "") || refusal != nil && refusal.Reason != refused {
			t.Errorf("%s: %d with %+v, want %d with %q", when, got, refusal, status, refused)
		}
	}
	r.store.Adopt(second.newerFormat(t, v(2, 1)))
	wants("no config yet", second, 200, routetable.RefusedInvalid)
	wants("no config yet, another key", first, 401, "")

	r.version.Epoch = 3
	r.serve(newRoute(nil))
	wants("adopted another", first, 200, "")
	wants("refused before that", second, 401, "")

	r.store.Adopt(second.newerFormat(t, v(2, 9)))
	wants("older, so perhaps replayed", second, 401, "")
	wants("older", first, 200, routetable.RefusedOlder)

	r.store.Adopt(third.newerFormat(t, v(4, 1)))
	wants("newer", third, 200, routetable.RefusedInvalid)
	wants("newer, for the leadership that is served", first, 200, routetable.RefusedInvalid)
	r.store.Adopt(second.newerFormat(t, v(2, 9)))
	wants("an older one came after it", third, 200, routetable.RefusedOlder)
	bad := third.newerFormat(t, v(4, 2))
	bad.ReportKey = "x"
	r.store.Adopt(bad)
	wants("a newer one without a key", third, 200, routetable.RefusedInvalid)

	fourth := newLeadership()
	incomplete := newOffer(t, v(5, 1), fourth.public, routetable.Settings{}, newRoute(func(r *routetable.Route) { r.Callbacks[0].Path = "/x" }))
	incomplete.Shards = nil
	r.store.Adopt(incomplete)
	wants("incomplete", fourth, 200, routetable.RefusedIncomplete)
	wants("the last one counts", third, 401, "")

	r.version.Generation++
	r.serve(newRoute(nil))
	wants("adopted", first, 200, "")
	wants("adopted, before that", fourth, 401, "")
	r.store.Adopt(third.newerFormat(t, v(6, 1)))
	wants("once more", third, 200, routetable.RefusedInvalid)
	if refusal := r.store.Adopt(newOffer(t, r.version, first.public, routetable.Settings{}, newRoute(nil))); refusal != nil {
		t.Fatalf("%+v", refusal)
	}
	wants("the served config was offered again", first, 200, "")
	wants("the served config was offered again, another key", third, 401, "")
}

// checks are health checks with so many findings, one after the other.
type checks uint64

func (n checks) Changes(c changelog.Cursor, most int) (entries []routetable.TargetReport, next changelog.Cursor, more, ok bool) {
	for ; c.Position < uint64(n) && len(entries) < most; c.Position++ {
		entries = append(entries, routetable.TargetReport{ID: strconv.FormatUint(c.Position, 10), State: routetable.TargetHealthy})
	}
	return entries, c, c.Position < uint64(n), c.Position <= uint64(n)
}

// reportSince requests with a cursor a report that has room for all entries.
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
		uid := use.UID
		if use.Gone {
			uid += " gone"
		}
		uids = append(uids, uid)
	}
	return uids
}

func TestReport_ListsChangesSinceTheLast(t *testing.T) { //nolint:gocyclo // one history, step by step
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	second := newRoute(func(r *routetable.Route) { r.UID, r.Name, r.Callbacks[0].Path = "uid2", "other", "/other" })
	r.serve(newRoute(nil), second)
	first := r.reportSince("")
	if first.Boot == "" || first.Cursor == "" || !first.Full || first.Routes != nil || first.Targets != nil {
		t.Fatalf("report is %+v", first)
	}
	if idle := r.reportSince(first.Cursor); idle.Full || idle.Cursor != first.Cursor {
		t.Errorf("report without a change is %+v", idle)
	}
	r.get("/cb?code=1")
	r.get("/other?code=1")
	two := r.reportSince(first.Cursor)
	if got := uids(two); !slices.Equal(got, []string{"uid", "uid2"}) || two.Boot != first.Boot || two.Full {
		t.Errorf("both: %v", got)
	}
	r.get("/cb?code=1")
	one := r.reportSince(two.Cursor)
	if !slices.Equal(uids(one), []string{"uid"}) || one.Routes[0].Callbacks != 2 || !one.Routes[0].Last.Equal(begin) {
		t.Errorf("one: %+v", one.Routes)
	} else if again := r.reportSince(one.Cursor); again.Routes != nil || again.Cursor != one.Cursor {
		t.Errorf("none: %+v", again)
	}
	r.serve(newRoute(nil))
	if got := r.reportSince(one.Cursor); !slices.Equal(uids(got), []string{"uid2 gone"}) || got.Full {
		t.Errorf("after a route left: %+v", got)
	}
	if got := r.reportSince(""); !slices.Equal(uids(got), []string{"uid"}) {
		t.Errorf("full list after a route left: %+v", got)
	}
}

// A cursor that this run of the process never gave out gets a full list.
func TestReport_UnknownCursorsGetAFullList(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.serve(newRoute(nil), newRoute(func(r *routetable.Route) { r.UID, r.Name, r.Callbacks[0].Path = "uid2", "other", "/other" }))
	first := r.reportSince("")
	r.get("/cb?code=1")
	r.get("/other?code=1")
	for _, unknown := range []string{
		"", "x", "..", "otherboot.0.0.3.0", first.Boot, first.Boot + ".0.0", first.Boot + ".0.0.0.-1", first.Boot + ".x.0.2.0", first.Boot + ".0.0.2.0.0",
		first.Boot + ".0.0.99.0", first.Boot + ".0.0.0.99", first.Boot + ".0.0.99999999999999999999.0",
	} {
		if got := r.reportSince(unknown); len(uids(got)) != 2 || !got.Full {
			t.Errorf("cursor %q gets %+v", unknown, got)
		}
	}
}

// A report has at most MaxReportEntries entries, and only the first page of a
// full list voids what was reported before.
func TestReport_Pages(t *testing.T) {
	r := newRig(t)
	const routes, findings = 6000, 5000
	for i := range routes {
		record := r.counters.Start(strconv.Itoa(i))
		r.counters.Count(record, &usage.Request{Kind: usage.Unrelated})
	}
	reports := newReporter(r.server, 1)
	reports.targets = checks(findings)
	seen, pages, since := map[string]struct{}{}, 0, ""
	for more := true; more; pages++ {
		report := reports.report(since)
		if n := len(report.Targets) + len(report.Routes); n > routetable.MaxReportEntries || report.More && n < routetable.MaxReportEntries {
			t.Fatalf("%d entries, more %v", n, report.More)
		}
		if report.Full != (pages == 0) {
			t.Errorf("page %d: full %v", pages, report.Full)
		}
		for _, target := range report.Targets {
			seen["target "+target.ID] = struct{}{}
		}
		for _, use := range report.Routes {
			seen["route "+use.UID] = struct{}{}
		}
		since, more = report.Cursor, report.More
	}
	if len(seen) != findings+routes || pages != 3 {
		t.Errorf("%d entries in %d pages", len(seen), pages)
	}
	if last := reports.report(since); last.Targets != nil || last.Routes != nil || last.Full {
		t.Errorf("a report after the last page is %+v", last)
	}
}
