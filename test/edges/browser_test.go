// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// browser_test.go: the installed Chromium, driven by browser/driver.mjs.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// need returns the path of an installed program, or skips the test.
func need(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", strings.Join(names, " or "))
	return ""
}

// browser is one running Chromium.
type browser struct {
	t    *testing.T
	to   io.Writer
	from *bufio.Scanner
}

// visited is the end of a document.
type visited struct {
	URL, Method, Error, Shown, Title string
	Status                           int
	// Reused is true when the connection had been used before.
	Reused bool
	// Version is the browser's.
	Version string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	chromium, node := need(t, "chromium", "chromium-browser", "google-chrome"), need(t, "node")
	if _, err := os.Stat(filepath.Join("browser", "node_modules", "playwright-core")); err != nil {
		t.Skip("playwright-core is not installed: npm ci in test/edges/browser")
	}
	driver := exec.Command(node, "driver.mjs", chromium)
	driver.Dir, driver.Stderr = "browser", os.Stderr
	to, err := driver.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	from, err := driver.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = to.Close(); _ = driver.Wait() })
	b := &browser{t: t, to: to, from: bufio.NewScanner(from)}
	b.from.Buffer(nil, 1<<20)
	t.Logf("Chromium %s", b.read().Version)
	return b
}

func (b *browser) read() (v visited) {
	b.t.Helper()
	if !b.from.Scan() {
		b.t.Fatalf("the browser ended: %v", b.from.Err())
	}
	if err := json.Unmarshal(b.from.Bytes(), &v); err != nil {
		b.t.Fatalf("decode %q: %v", b.from.Text(), err)
	}
	return v
}

func (b *browser) do(command map[string]any) visited {
	b.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(b.to, "%s\n", line); err != nil {
		b.t.Fatal(err)
	}
	return b.read()
}

// visit opens a URL and waits for the end of the document whose URL contains until.
func (b *browser) visit(url, until string) visited {
	b.t.Helper()
	return b.do(map[string]any{"do": "visit", "url": url, "until": until, "millis": patience.Milliseconds()})
}

// save writes a picture of what is shown.
func (b *browser) save(path string) { b.do(map[string]any{"do": "save", "path": path}) }
