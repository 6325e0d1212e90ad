// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// prose_test.go finds words in prose that make it hard to read.

package repository

import (
	"fmt"
	"go/scanner"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	// avoided are words for people without a role, and idioms. Prose names the
	// role instead: the operator, the owner of the route, another tenant.
	avoided = regexp.MustCompile(`(?i)\b(nobody|somebody|whoever|everybody|strangers?|for ever|in vain|tak(?:e|es|en|ing) for granted)\b`)

	// personified are programs that talk or think. A program reports, requests,
	// receives or returns.
	personified = regexp.MustCompile(`(?i)\b(prox(?:y|ies)|managers?|operators?|controllers?|servers?|instances?|kubelets?|reconcilers?|scripts?|programs?|tables?|conditions?|status|log|message) ` +
		`(says?|said|tells?|told|hears?|heard|asks?|asked|thinks?|doubts?|believes?|speaks?|answers for)\b` +
		`|\b(?:is|are|was|were|be|been|being) (?:told|said|asked|heard|doubted)\b`)

	// opening is the first word of a sentence without a subject.
	opening = regexp.MustCompile(`(?:^|[.!?]["')]* \v?)(What|That|Of|Where|Who|Whose|Whom)\b`)
)

// finding is one word in a file.
type finding struct {
	file string
	line int
	word string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %q", f.file, f.line, f.word) }

// paragraph is prose of consecutive lines. Messages and code are not checked
// for the first words of sentences.
type paragraph struct {
	line      int
	text      string
	sentences bool
}

// findWords returns the findings in a file, by its extension.
func findWords(file, content string) []finding {
	var paragraphs []paragraph
	switch filepath.Ext(file) {
	case ".go":
		paragraphs = goProse(content)
	case ".md":
		paragraphs = markdownProse(content)
	default:
		paragraphs = hashProse(content)
	}
	var found []finding
	for _, p := range paragraphs {
		patterns := []*regexp.Regexp{avoided, personified}
		if p.sentences {
			patterns = append(patterns, opening)
		}
		for _, pattern := range patterns {
			for _, match := range pattern.FindAllStringIndex(p.text, -1) {
				line := p.line + strings.Count(p.text[:match[1]], "\v")
				found = append(found, finding{file, line, strings.Trim(p.text[match[0]:match[1]], ".!?\"') \v")})
			}
		}
	}
	return found
}

// goProse returns comments and string literals.
func goProse(content string) []paragraph {
	var paragraphs []paragraph
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(content))
	var s scanner.Scanner
	s.Init(file, []byte(content), nil, scanner.ScanComments)
	var lines textLines
	for {
		position, kind, literal := s.Scan()
		line := file.Line(position)
		if kind == token.EOF {
			return lines.flush(paragraphs)
		}
		if kind == token.STRING {
			paragraphs = append(paragraphs, paragraph{line: line, text: strings.ReplaceAll(literal, "\n", "\v")})
		}
		if kind != token.COMMENT {
			continue
		}
		for offset, text := range strings.Split(strings.Trim(literal, "/*"), "\n") {
			paragraphs = lines.add(paragraphs, line+offset, text)
		}
	}
}

// markdownProse returns the text outside of code and headings.
func markdownProse(content string) []paragraph {
	blank := func(code string) string { return strings.Repeat("\n", strings.Count(code, "\n")) }
	text := codeSpan.ReplaceAllString(codeBlock.ReplaceAllStringFunc(content, blank), "code")
	var paragraphs []paragraph
	var lines textLines
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "#"):
			paragraphs = append(lines.flush(paragraphs), paragraph{line: i + 1, text: trimmed})
		case strings.HasPrefix(trimmed, "|"):
			paragraphs = lines.flush(paragraphs)
			for cell := range strings.SplitSeq(trimmed, "|") {
				paragraphs = append(paragraphs, paragraph{line: i + 1, text: strings.TrimSpace(cell), sentences: strings.Contains(cell, ". ")})
			}
		default:
			if bullet := strings.TrimLeft(trimmed, "-*0123456789. "); bullet != trimmed {
				paragraphs = lines.flush(paragraphs)
				trimmed = bullet
			}
			paragraphs = lines.add(paragraphs, i+1, trimmed)
		}
	}
	return lines.flush(paragraphs)
}

// hashProse returns comments that start with #, and all other text as messages.
func hashProse(content string) []paragraph {
	var paragraphs []paragraph
	var lines textLines
	for i, line := range strings.Split(content, "\n") {
		if comment, isComment := strings.CutPrefix(strings.TrimSpace(line), "#"); isComment {
			paragraphs = lines.add(paragraphs, i+1, comment)
			continue
		}
		paragraphs = append(lines.flush(paragraphs), paragraph{line: i + 1, text: line})
	}
	return lines.flush(paragraphs)
}

// textLines joins consecutive lines into a paragraph. A vertical tab stands
// before the text of each line but the first, so that positions can be mapped
// back to lines.
type textLines struct {
	first, last int
	text        strings.Builder
}

// add appends a line. A gap or an empty line ends the paragraph before it.
func (l *textLines) add(paragraphs []paragraph, number int, text string) []paragraph {
	text = strings.TrimSpace(text)
	if l.text.Len() > 0 && number != l.last+1 || text == "" {
		paragraphs = l.flush(paragraphs)
	}
	if text == "" {
		return paragraphs
	}
	if l.text.Len() == 0 {
		l.first = number
	} else {
		l.text.WriteString(" \v")
	}
	l.last = number
	l.text.WriteString(text)
	return paragraphs
}

func (l *textLines) flush(paragraphs []paragraph) []paragraph {
	if l.text.Len() == 0 {
		return paragraphs
	}
	paragraphs = append(paragraphs, paragraph{line: l.first, text: l.text.String(), sentences: true})
	l.text.Reset()
	return paragraphs
}
