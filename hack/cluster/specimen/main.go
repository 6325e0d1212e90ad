// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command specimen is what the test of the cluster runs in its pods.
//
//	specimen serve ADDRESS TEXT   answers every request with the text
//	specimen get URL SECONDS      prints what the URL answers, asking until it is a 200
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "specimen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("want serve ADDRESS TEXT or get URL SECONDS")
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1], args[2])
	case "get":
		seconds, err := strconv.Atoi(args[2])
		if err != nil {
			return fmt.Errorf("read the number of seconds: %w", err)
		}
		ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
		defer cancel()
		return get(ctx, args[1], out)
	}
	return fmt.Errorf("no such verb: %s", args[0])
}

// serve ends when ctx does.
func serve(ctx context.Context, address, text string) error {
	server := &http.Server{
		Addr:              address,
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, text)
		}),
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// get asks every half second until the answer is a 200 or ctx is done.
func get(ctx context.Context, url string, out io.Writer) error {
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		body, err := ask(ctx, url)
		if err == nil {
			_, err = out.Write(append(body, '\n'))
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}

func ask(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	client := &http.Client{Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask: %s", response.Status)
	}
	return body, nil
}
