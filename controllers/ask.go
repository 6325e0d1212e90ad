// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// askTimeout bounds one request for a report.
	askTimeout = time.Second
	// sayTimeout bounds all requests for the parts of one report, maxReportBytes
	// one part, and maxSaidBytes all of them. The rest is told the next time.
	sayTimeout     = 2 * time.Second
	maxReportBytes = 4 << 20
	maxSaidBytes   = 8 << 20
	// tokenLifetime is how long a request's token may be used.
	tokenLifetime = time.Minute
	// What an instance's words may add to a status.
	maxReasonBytes  = 64
	maxMessageBytes = 512
)

// Asker asks instances for their reports, with requests that only the holder
// of the key can make.
type Asker struct {
	signer jose.Signer
	client *http.Client
	clock  clock.PassiveClock
}

// NewAsker returns an Asker that signs with the key.
func NewAsker(key ed25519.PrivateKey, c clock.PassiveClock) (*Asker, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("make signer of report requests: %w", err)
	}
	return &Asker{
		signer: signer,
		clock:  c,
		client: &http.Client{
			Timeout: askTimeout,
			// Pods come and go and their addresses are reused: no connection
			// outlives its answer. No proxy from the environment either.
			Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxReportBytes},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// ask fetches what the instance at an address (IP:port) has to say since a
// cursor, at most sayTimeout long. What it said by then counts, also when it
// fails in the middle: the next question goes on from there.
func (a *Asker) ask(ctx context.Context, address, cursor string) (*words, error) {
	ctx, cancel := context.WithTimeout(ctx, sayTimeout)
	defer cancel()
	told := &words{}
	for room := int64(maxSaidBytes); ; {
		report, size, err := a.fetch(ctx, address, cursor, min(room, maxReportBytes))
		switch {
		case err != nil && told.report.Boot == "":
			return nil, err
		case err != nil, told.report.Boot != "" && report.Boot != told.report.Boot:
			return told, nil
		}
		told.targets = append(told.targets, report.Targets...)
		told.routes = append(told.routes, report.Routes...)
		report.Targets, report.Routes = nil, nil
		report.More = report.More && report.Cursor != cursor
		cursor, told.report = report.Cursor, report
		if room -= size; !report.More || room <= 0 {
			return told, nil
		}
	}
}

// fetch gets one part of a report, of at most that many bytes, and returns how
// many it has.
func (a *Asker) fetch(ctx context.Context, address, cursor string, most int64) (report routetable.Report, size int64, err error) {
	request, err := a.request(ctx, address, cursor)
	if err != nil {
		return report, 0, err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return report, 0, fmt.Errorf("ask instance: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return report, 0, fmt.Errorf("instance answered with status %d", response.StatusCode)
	}
	body := &io.LimitedReader{R: response.Body, N: most}
	if err := json.NewDecoder(body).Decode(&report); err != nil {
		return report, 0, fmt.Errorf("read report: %w", err)
	}
	return report, most - body.N, check(&report)
}

// request makes one that only the holder of the key can make.
func (a *Asker) request(ctx context.Context, address, cursor string) (*http.Request, error) {
	now := a.clock.Now()
	token, err := jwt.Signed(a.signer).Claims(jwt.Claims{
		Audience: jwt.Audience{routetable.ReportAudience(address)},
		IssuedAt: jwt.NewNumericDate(now),
		Expiry:   jwt.NewNumericDate(now.Add(tokenLifetime)),
	}).Serialize()
	if err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	target := url.URL{Scheme: "http", Host: address, Path: routetable.ReportPath}
	if cursor != "" {
		target.RawQuery = url.Values{routetable.ReportSince: {cursor}}.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return request, nil
}

// check refuses a report that no proxy makes, and bounds what its words may
// add to a status: an instance that lies may lie about itself alone.
func check(r *routetable.Report) error {
	if !isInRange(r) {
		return errors.New("report is out of range")
	}
	if refused := r.Refused; refused != nil {
		if !isHash(refused.Hash) {
			refused.Hash = ""
		}
		refused.Reason, refused.Message = clip(refused.Reason, maxReasonBytes), clip(refused.Message, maxMessageBytes)
	}
	for i := range r.Targets {
		if err := checkTarget(&r.Targets[i]); err != nil {
			return err
		}
	}
	for i := range r.Routes {
		if !isCount(&r.Routes[i]) {
			return errors.New("report counts what cannot be")
		}
	}
	return nil
}

func isInRange(r *routetable.Report) bool {
	return r.ListenerPort >= 1 && r.ListenerPort <= 65535 && r.Epoch >= 0 && r.Generation >= 0 && isHash(r.Hash) &&
		r.Boot != "" && len(r.Boot) <= maxReasonBytes && len(r.Cursor) <= 2*maxReasonBytes &&
		len(r.Targets)+len(r.Routes) <= routetable.MaxReportEntries
}

// isHash says whether a status may hold it: nothing, or SHA-256 in lower-case
// hexadecimal digits.
func isHash(hash string) bool {
	return hash == "" || len(hash) == 64 && strings.Trim(hash, "0123456789abcdef") == ""
}

func checkTarget(t *routetable.TargetReport) error {
	if t.ID == "" || len(t.ID) > maxReasonBytes {
		return errors.New("report names a target that there is not")
	}
	switch t.State {
	case routetable.TargetHealthy, routetable.TargetUnmeasured:
		t.Reason = ""
	case routetable.TargetUnhealthy:
		if _, known := targetReasons[t.Reason]; !known {
			t.Reason = routetable.TargetUnreachable
		}
	default:
		t.State, t.Reason = routetable.TargetUnmeasured, ""
	}
	return nil
}

// targetReasons are the reasons that may stand in a status.
var targetReasons = map[string]struct{}{
	routetable.TargetUnreachable: {}, routetable.TargetNoAnswer: {}, routetable.TargetBadStatus: {}, routetable.TargetPathNotServed: {},
}

const (
	// maxCount leaves room for sums.
	maxCount = 1 << 50
	// maxBackendsTold is how many backends of a route may have got callbacks:
	// twice what a route can have, as it may just be changing.
	maxBackendsTold = 16
	// maxNameBytes is the longest name of a backend.
	maxNameBytes = 63
)

func isCount(u *routetable.RouteUse) bool {
	for _, n := range []int64{u.Callbacks, u.AfterSunset, u.Other, u.Refused} {
		if n < 0 || n > maxCount {
			return false
		}
	}
	for _, b := range u.Backends {
		if b.Name == "" || len(b.Name) > maxNameBytes || b.Callbacks < 0 || b.Callbacks > maxCount || !isMoment(b.Last) {
			return false
		}
	}
	return len(u.UID) <= maxReasonBytes && len(u.Backends) <= maxBackendsTold && isMoment(u.Last)
}

// isMoment says whether a callback can have come then; the zero time: none did.
// What is older cannot be written as a time of the API.
func isMoment(t time.Time) bool { return t.IsZero() || t.Unix() >= 0 }

// clip shortens foreign words without leaving half a character behind: what
// is stored must be what was meant, or each pass would write it again. It keeps
// nothing of the rest in memory.
func clip(s string, most int) string {
	return strings.Clone(strings.ToValidUTF8(s[:min(len(s), most)], ""))
}

func compareInstances(a, b status.Instance) int { return cmp.Compare(a.Pod, b.Pod) }

// sameWord says whether an instance said the same twice, what came for the
// routes and what it sees of backends aside.
func sameWord(a, b status.Instance) bool {
	ra, rb := &a.Report, &b.Report
	sameRefusal := (ra.Refused == nil) == (rb.Refused == nil) && (ra.Refused == nil || *ra.Refused == *rb.Refused)
	return a.Pod == b.Pod && a.Reached == b.Reached && ra.Version == rb.Version && ra.Hash == rb.Hash &&
		ra.ListenerPort == rb.ListenerPort && ra.ClockSuspect == rb.ClockSuspect && sameRefusal
}
