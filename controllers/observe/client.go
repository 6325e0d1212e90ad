// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

// This file requests the reports of single instances over HTTP.

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// requestTimeout bounds the request of one page of a report.
	requestTimeout = time.Second
	// reportTimeout bounds the requests of all pages of one report, maxPageBytes
	// one page, and maxReportBytes all of them. The next poll gets the rest.
	reportTimeout  = 2 * time.Second
	maxPageBytes   = 4 << 20
	maxReportBytes = 8 << 20
	// tokenLifetime is how long the token of a request is valid.
	tokenLifetime = time.Minute
)

// Client requests reports from instances. Only the holder of the key can make
// these requests.
type Client struct {
	signer jose.Signer
	client *http.Client
	clock  clock.PassiveClock
	// timeout bounds one report.
	timeout time.Duration
}

// NewClient returns a Client that signs with the key.
func NewClient(key ed25519.PrivateKey, c clock.PassiveClock) (*Client, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("make signer of report requests: %w", err)
	}
	return &Client{
		signer:  signer,
		clock:   c,
		timeout: reportTimeout,
		client: &http.Client{
			Timeout: requestTimeout,
			// Pods come and go and their addresses are reused, so no connection
			// outlives its response. The transport uses no proxy of the environment.
			Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxPageBytes},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Report returns what changed at the instance at an address (IP:port) since a
// cursor. Pages that arrived before an error or the timeout count: the next
// request goes on from there.
func (c *Client) Report(ctx context.Context, address, cursor string) (*routetable.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var report *routetable.Report
	for room := int64(maxReportBytes); ; {
		page, size, err := c.fetchPage(ctx, address, cursor, min(room, maxPageBytes))
		switch {
		case err != nil && report == nil:
			return nil, err
		case err != nil, report != nil && page.Boot != report.Boot:
			return report, nil
		}
		page.More = page.More && page.Cursor != cursor
		cursor = page.Cursor
		report = appendPage(report, page)
		if room -= size; !report.More || room <= 0 {
			return report, nil
		}
	}
}

// appendPage returns the report with one more page. A page that begins a full
// list voids the pages before it.
func appendPage(report, page *routetable.Report) *routetable.Report {
	if report == nil || page.Full {
		return page
	}
	page.Full = report.Full
	page.Targets = append(report.Targets, page.Targets...)
	page.Routes = append(report.Routes, page.Routes...)
	return page
}

// fetchPage requests one page of at most that many bytes, and returns its size.
func (c *Client) fetchPage(ctx context.Context, address, cursor string, most int64) (*routetable.Report, int64, error) {
	request, err := c.newRequest(ctx, address, cursor)
	if err != nil {
		return nil, 0, err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, 0, fmt.Errorf("request report: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("request report: status %d", response.StatusCode)
	}
	body := &io.LimitedReader{R: response.Body, N: most}
	page := &routetable.Report{}
	if err := json.NewDecoder(body).Decode(page); err != nil {
		return nil, 0, fmt.Errorf("decode report: %w", err)
	}
	return page, most - body.N, validate(page)
}

func (c *Client) newRequest(ctx context.Context, address, cursor string) (*http.Request, error) {
	now := c.clock.Now()
	token, err := jwt.Signed(c.signer).Claims(jwt.Claims{
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
