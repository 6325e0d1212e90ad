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
	var started visited
	b.receive(&started)
	t.Logf("Chromium %s", started.Version)
	return b
}

func (b *browser) receive(result any) {
	b.t.Helper()
	if !b.from.Scan() {
		b.t.Fatalf("the browser ended: %v", b.from.Err())
	}
	if err := json.Unmarshal(b.from.Bytes(), result); err != nil {
		b.t.Fatalf("decode %q: %v", b.from.Text(), err)
	}
}

func (b *browser) send(command map[string]any) {
	b.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(b.to, "%s\n", line); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) do(command map[string]any) (v visited) {
	b.t.Helper()
	b.send(command)
	b.receive(&v)
	return v
}

// visit opens a URL and waits for the end of the document whose URL contains until.
func (b *browser) visit(url, until string) visited {
	b.t.Helper()
	return b.do(map[string]any{"do": "visit", "url": url, "until": until, "millis": patience.Milliseconds()})
}

// asked is what another program than a browser's address bar adds to a request.
type asked struct {
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// change makes the next documents be requested in another way.
func (b *browser) change(a asked) {
	b.t.Helper()
	if v := b.do(map[string]any{"do": "change", "method": a.Method, "headers": a.Headers}); v.Error != "" {
		b.t.Fatal(v.Error)
	}
}

// look is what a person sees, and what a screen reader gets.
type look struct {
	Lang, Title, Ground string
	Error               string
	Headings, Landmarks int
	Scrolls             bool
	// Broken are the rules of axe-core that the page breaks, and where.
	Broken []string
	// Stops are the elements that the tabulator key reaches.
	Stops []struct {
		Href, Outline string
		Width         float64
	}
}

// look shows the page in a window of a size, light or dark.
func (b *browser) look(width int, dark bool) (l look) {
	b.t.Helper()
	b.send(map[string]any{"do": "look", "width": width, "dark": dark})
	b.receive(&l)
	if l.Error != "" {
		b.t.Fatal(l.Error)
	}
	return l
}

// save writes a picture of the page in a window of a size, light or dark.
func (b *browser) save(path string, width, height int, dark bool) {
	b.t.Helper()
	if v := b.do(map[string]any{"do": "save", "path": path, "width": width, "height": height, "dark": dark}); v.Error != "" {
		b.t.Fatal(v.Error)
	}
}
