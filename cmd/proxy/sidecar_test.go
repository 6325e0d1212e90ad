// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// With --app-port the process serves its callbacks and passes the rest.
func TestCommand_StandsBeforeAnApplication(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer app.Close()
	blue := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	defer blue.Close()
	dir := t.TempDir()
	keepConfig(t, dir)
	_, port, _ := strings.Cut(app.Listener.Addr().String(), ":")
	p := start(t, "--state-dir="+dir, "--connect-to=10.0.0.1:80="+blue.Listener.Addr().String(), "--app-port="+port)
	defer func() { p.stop(); <-p.exited }()
	for path, want := range map[string]int{"/cb?code=1": http.StatusAccepted, "/": http.StatusTeapot, "/%63b": http.StatusBadRequest} {
		if status := p.get(t, p.callbacks, path); status != want {
			t.Errorf("%s gets %d, want %d", path, status, want)
		}
	}
}
