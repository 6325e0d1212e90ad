// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

var interrupted = Page{Title: "The sign-in was interrupted", Happened: "It is not known whether it arrived.", Reload: Unsafe, Next: "Start signing in again."}

// The bytes of a page are constant: what is declared and what is not, and every
// statement about a reload, has a golden file.
func TestPage_HasConstantBytes(t *testing.T) {
	safe, useless := interrupted, interrupted
	safe.Reload, useless.Reload = Safe, Useless
	for name, tc := range map[string]struct {
		page    Page
		details Details
	}{
		"bare":    {interrupted, Details{}},
		"full":    {interrupted, Details{Product: "Acme Login", SupportURL: "mailto:help@acme.com", InfoURL: "https://wiki.acme.com/sso?a=1&b=2", RequestID: "0123456789abcdef0123456789abcdef"}},
		"safe":    {safe, Details{SupportURL: "https://help.acme.com/"}},
		"useless": {useless, Details{RequestID: "r-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.page.Render(tc.details)
			path := filepath.Join("testdata", name+".html")
			if *update {
				if err := os.WriteFile(path, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v: go test ./proxy/page -update writes it", err)
			}
			if string(got) != string(want) {
				t.Errorf("the page is\n%s\nwant\n%s", got, want)
			}
			if len(got) > 4<<10 {
				t.Errorf("the page has %d bytes: a small one has 4 KiB at most", len(got))
			}
		})
	}
}

// No declared value ends the attribute or the element that it is in.
func TestPage_EscapesWhatIsDeclared(t *testing.T) {
	const hostile = `"'><script>alert(1)</script>&lt;`
	got := string(interrupted.Render(Details{Product: hostile, SupportURL: "mailto:" + hostile, InfoURL: hostile, RequestID: hostile}))
	if strings.Contains(got, "<script") || strings.Count(got, "&#34;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;lt;") != 6 {
		t.Errorf("the page is %s", got)
	}
	// The elements of a full page, and no other, whatever is declared.
	plain := string(interrupted.Render(Details{Product: "p", SupportURL: "mailto:s", InfoURL: "i", RequestID: "r"}))
	for _, mark := range []string{"<", ">", `"`} {
		if n, want := strings.Count(got, mark), strings.Count(plain, mark); n != want {
			t.Errorf("%s is there %d times, want %d", mark, n, want)
		}
	}
}

// The policy allows the style of the page, by its hash, and nothing else.
func TestPage_AllowsItsStyleOnly(t *testing.T) {
	content := string(interrupted.Render(Details{}))
	_, rest, _ := strings.Cut(content, "<style>")
	inPage, _, found := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(inPage))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if _, policy, _ := strings.Cut(fields, "Content-Security-Policy: "); !found || policy != want {
		t.Errorf("the policy is %s, want %s", policy, want)
	}
	if strings.Contains(content, "style=") || strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Error("the page needs more than its style")
	}
}

// texts are the pairs of a text and what is behind it, with the contrast that WCAG
// 2.2 requires: 4.5:1 for text (1.4.3), 3:1 for what marks a control (1.4.11).
var texts = []struct {
	text, behind string
	least        float64
}{
	{"ink", "card", 4.5},
	{"faint", "card", 4.5},
	{"link", "card", 4.5},
	{"label", "button", 4.5},
	{"ink", "safe", 4.5},
	{"ink", "unsafe", 4.5},
	{"ink", "plain", 4.5},
	{"button", "card", 3},
	{"green", "safe", 3},
	{"red", "unsafe", 3},
	{"grey", "plain", 3},
}

func TestStyle_HasEnoughContrast(t *testing.T) {
	for name, colours := range map[string]string{"light": light, "dark": dark} {
		palette := paletteOf(t, colours)
		for _, pair := range texts {
			if got := contrast(palette[pair.text], palette[pair.behind]); got < pair.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f:1, want %.1f:1", name, pair.text, pair.behind, got, pair.least)
			}
		}
	}
}

// Every colour that the style uses is declared for both schemes.
func TestStyle_DeclaresBothSchemes(t *testing.T) {
	inLight, inDark := paletteOf(t, light), paletteOf(t, dark)
	for _, used := range regexp.MustCompile(`var\(--([a-z]+)\)`).FindAllStringSubmatch(style, -1) {
		if _, is := inLight[used[1]]; !is {
			t.Errorf("light has no colour %s", used[1])
		}
		if _, is := inDark[used[1]]; !is {
			t.Errorf("dark has no colour %s", used[1])
		}
	}
}

// paletteOf returns the luminance of each colour.
func paletteOf(t *testing.T, colours string) map[string]float64 {
	t.Helper()
	palette := map[string]float64{}
	for _, match := range regexp.MustCompile(`--([a-z]+):#([0-9a-f]+)`).FindAllStringSubmatch(colours, -1) {
		hex := match[2]
		if len(hex) == 3 {
			hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
		}
		value, err := strconv.ParseUint(hex, 16, 24)
		if err != nil || len(hex) != 6 {
			t.Fatalf("colour %q: %v", match[0], err)
		}
		palette[match[1]] = luminance(value)
	}
	if len(palette) < 10 {
		t.Fatalf("only %d colours were found", len(palette))
	}
	return palette
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(rgb uint64) float64 {
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb>>(16-8*i)&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// contrast is the contrast ratio of WCAG 2.2.
func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }
