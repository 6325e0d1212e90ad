// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repository

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

var (
	codeBlock = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	codeSpan  = regexp.MustCompile("`[^`\n]*`")
	// link matches the target of [text](target), ![text](target "title") and
	// of a definition [label]: target.
	link    = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)|(?m:^ {0,3}\[[^\]]+\]:\s+(\S+))`)
	scheme  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`)
	inSlug  = regexp.MustCompile(`[^\p{L}\p{N}\-_ ]`)
)

func TestPages_LinkToFilesThatExist(t *testing.T) {
	var dead []string
	for _, page := range files(t, ".md") {
		for _, target := range relativeLinks(read(t, page)) {
			if !resolves(t, page, target) {
				dead = append(dead, page+" -> "+target)
			}
		}
	}
	NewWithT(t).Expect(dead).To(BeEmpty())
}

// relativeLinks returns the targets that a page links to inside the tree.
func relativeLinks(markdown string) []string {
	text := codeSpan.ReplaceAllString(codeBlock.ReplaceAllString(markdown, ""), "")
	var targets []string
	for _, match := range link.FindAllStringSubmatch(text, -1) {
		if target := match[1] + match[2]; !scheme.MatchString(target) {
			targets = append(targets, target)
		}
	}
	return targets
}

// resolves reports whether a link from a page leads to a file or directory of
// the repository and, when it names a section of a page, to a heading there.
func resolves(t *testing.T, page, target string) bool {
	t.Helper()
	name, section, _ := strings.Cut(target, "#")
	linked := page
	switch {
	case strings.HasPrefix(name, "/"):
		linked = strings.TrimPrefix(name, "/")
	case name != "":
		linked = filepath.Join(filepath.Dir(page), name)
	}
	if !filepath.IsLocal(linked) {
		return false
	}
	if _, err := os.Stat(filepath.Join(root, linked)); err != nil {
		return false
	}
	return section == "" || !strings.HasSuffix(linked, ".md") || anchors(read(t, linked))[section]
}

// anchors returns the names under which a page's headings can be linked to, as
// GitHub forms them.
func anchors(markdown string) map[string]bool {
	names := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(markdown, ""), -1) {
		name := inSlug.ReplaceAllString(strings.ToLower(match[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}

func TestRelativeLinks_AreFoundInEveryForm(t *testing.T) {
	page := "[a](docs/a.md) ![b](b.png \"title\") [c](https://example.com/c) [d](#d) [e]\n\n" +
		"[e]: ../e.md\n\n`[f](f.md)`\n\n```\n[g](g.md)\n```\n[h](mailto:h@example.com)\n"
	NewWithT(t).Expect(relativeLinks(page)).To(Equal([]string{"docs/a.md", "b.png", "#d", "../e.md"}))
}

func TestAnchors_AreFormedAsGitHubDoes(t *testing.T) {
	names := anchors("# One\n## `make test`, twice!\n### 4. CallbackRoute (namespaced)\n```\n# no heading\n```\n")
	NewWithT(t).Expect(names).To(Equal(map[string]bool{
		"one": true, "make-test-twice": true, "4-callbackroute-namespaced": true,
	}))
}
