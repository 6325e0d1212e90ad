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
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// askTimeout bounds one request for a report.
	askTimeout = time.Second
	// maxReportBytes bounds what an instance may answer.
	maxReportBytes = 64 << 10
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

// ask fetches the report of the instance at an address (IP:port).
func (a *Asker) ask(ctx context.Context, address string) (routetable.Report, error) {
	now := a.clock.Now()
	token, err := jwt.Signed(a.signer).Claims(jwt.Claims{
		Audience: jwt.Audience{routetable.ReportAudience(address)},
		IssuedAt: jwt.NewNumericDate(now),
		Expiry:   jwt.NewNumericDate(now.Add(tokenLifetime)),
	}).Serialize()
	if err != nil {
		return routetable.Report{}, fmt.Errorf("sign request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+routetable.ReportPath, http.NoBody)
	if err != nil {
		return routetable.Report{}, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := a.client.Do(request)
	if err != nil {
		return routetable.Report{}, fmt.Errorf("ask instance: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return routetable.Report{}, fmt.Errorf("instance answered with status %d", response.StatusCode)
	}
	var report routetable.Report
	if err := json.NewDecoder(io.LimitReader(response.Body, maxReportBytes)).Decode(&report); err != nil {
		return routetable.Report{}, fmt.Errorf("read report: %w", err)
	}
	if report.ListenerPort < 1 || report.ListenerPort > 65535 || report.Epoch < 0 || report.Generation < 0 || len(report.Hash) > 64 {
		return routetable.Report{}, errors.New("report is out of range")
	}
	if r := report.Refused; r != nil {
		r.Reason, r.Message = clip(r.Reason, maxReasonBytes), clip(r.Message, maxMessageBytes)
	}
	return report, nil
}

// clip shortens foreign words without leaving half a character behind: what
// is stored must be what was meant, or each pass would write it again.
func clip(s string, most int) string {
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

func compareInstances(a, b compile.Instance) int { return cmp.Compare(a.Pod, b.Pod) }

// sameWord says whether an instance said the same twice.
func sameWord(a, b compile.Instance) bool {
	ra, rb := a.Report.Refused, b.Report.Refused
	if (ra == nil) != (rb == nil) || ra != nil && *ra != *rb {
		return false
	}
	a.Report.Refused, b.Report.Refused = nil, nil
	return a == b
}
