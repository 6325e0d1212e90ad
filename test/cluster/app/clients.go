// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/cluster/app/latency"
	"github.com/callbackproxy/callback-operator/test/cluster/app/streams"
	"github.com/callbackproxy/callback-operator/test/idp/browser"
	"github.com/callbackproxy/callback-operator/test/idp/identity"
)

// loginResult is the result of a login. Its URLs have only the path and the names
// of the parameters.
type loginResult struct {
	Status  int           `json:"status"`
	Page    identity.Page `json:"page"`
	Hops    []string      `json:"hops"`
	Seconds float64       `json:"seconds"`
}

// runLogin signs in. Callbacks of the host go to one address, all else of the
// host to another, as a front door decides it; other hosts are addresses.
func runLogin(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("login", flag.ContinueOnError)
	host := flags.String("host", "", "the public host")
	start := flags.String("start", "", "host:port of the service that starts the login")
	callbackAt := flags.String("callback", "", "host:port that gets callbacks")
	var paths callbacks.Repeated
	flags.Var(&paths, "path", "path of callbacks; the login requests the first")
	if err := callbacks.ParseFlags(flags, args); err != nil {
		return err
	}
	if *host == "" || *start == "" || *callbackAt == "" || len(paths) == 0 {
		return errors.New("require --host, --start, --callback and --path")
	}
	b, err := browser.New(func(u *url.URL) string {
		switch {
		case u.Hostname() != *host:
			return u.Host
		case slices.Contains(paths, u.Path):
			return *callbackAt
		default:
			return *start
		}
	})
	if err != nil {
		return err
	}
	began := time.Now()
	entry := url.URL{
		Scheme: "http", Host: *host, Path: identity.StartPath,
		RawQuery: url.Values{identity.CallbackParameter: {paths[0]}}.Encode(),
	}
	page, err := b.Open(ctx, entry.String())
	if err != nil {
		return err
	}
	result := loginResult{Status: page.Status, Seconds: time.Since(began).Seconds()}
	for _, hop := range page.Hops {
		result.Hops = append(result.Hops, hop.String())
	}
	if json.Unmarshal(page.Body, &result.Page) != nil {
		result.Page.Message = fmt.Sprintf("%.200s", page.Body)
	}
	return writeLine(stdout, result)
}

// getResult is the answer to one request.
type getResult struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func runGet(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("get", flag.ContinueOnError)
	target := flags.String("url", "", "where to")
	host := flags.String("host", "", "the header")
	if err := callbacks.ParseFlags(flags, args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, *target, http.NoBody)
	if err != nil {
		return errors.New("the URL does not parse")
	}
	request.Host = *host
	response, err := newClient().Transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<14))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return writeLine(stdout, getResult{Status: response.StatusCode, Header: response.Header, Body: string(body)})
}

func runStreams(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("streams", flag.ContinueOnError)
	client := &streams.Client{HTTP: newClient()}
	flags.StringVar(&client.Base, "base", "", "http://host:port")
	flags.StringVar(&client.Host, "host", "", "the header")
	if err := callbacks.ParseFlags(flags, args); err != nil {
		return err
	}
	return writeLine(stdout, client.Checks(ctx))
}

func runLatency(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("latency", flag.ContinueOnError)
	var o latency.Options
	flags.StringVar(&o.Direct, "direct", "", "http://host:port of the server")
	flags.StringVar(&o.Through, "through", "", "http://host:port of what stands in front of it")
	flags.StringVar(&o.Host, "host", "", "the header")
	flags.StringVar(&o.Path, "path", "/", "the path")
	flags.IntVar(&o.Rate, "rate", 50, "requests per second, on each way")
	flags.DurationVar(&o.For, "for", 20*time.Second, "how long")
	if err := callbacks.ParseFlags(flags, args); err != nil {
		return err
	}
	comparison, err := latency.Compare(ctx, o)
	if err != nil {
		return err
	}
	return writeLine(stdout, comparison)
}
