// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// line.go: a line of the log, as slog.JSONHandler writes it. Each callback has
// one, and slog needs more time for it than the rest of the proxy for the request.
// Pure.

import (
	"encoding/json"
	"strconv"
	"time"
)

// line is a JSON object that grows. Its keys are constants that need no escapes.
type line struct{ text []byte }

// begin begins the line.
func (l *line) begin(now time.Time, message string) {
	l.text = append(l.text, `{"time":"`...)
	l.text = now.AppendFormat(l.text, time.RFC3339Nano)
	l.text = append(l.text, `","level":"INFO"`...)
	l.addString("msg", message)
}

// end ends the line.
func (l *line) end() { l.text = append(l.text, "}\n"...) }

func (l *line) addKey(key string) {
	l.text = append(l.text, `,"`...)
	l.text = append(l.text, key...)
	l.text = append(l.text, `":`...)
}

func (l *line) addString(key, value string) {
	l.addKey(key)
	if !isPlain(value) {
		escaped, _ := json.Marshal(value) //nolint:errchkjson // a string can always be encoded
		l.text = append(l.text, escaped...)
		return
	}
	l.text = append(l.text, '"')
	l.text = append(l.text, value...)
	l.text = append(l.text, '"')
}

// isPlain reports whether a string is the same in JSON.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// addList adds names, which need no escapes, as one string with commas.
func (l *line) addList(key string, names []string) {
	l.addKey(key)
	l.text = append(l.text, '"')
	for i, name := range names {
		if i > 0 {
			l.text = append(l.text, ',')
		}
		l.text = append(l.text, name...)
	}
	l.text = append(l.text, '"')
}

func (l *line) addInt(key string, value int) {
	l.addKey(key)
	l.text = strconv.AppendInt(l.text, int64(value), 10)
}

func (l *line) addTrue(key string) {
	l.addKey(key)
	l.text = append(l.text, "true"...)
}

// addMilliseconds adds a duration in milliseconds, with microseconds behind the
// point.
func (l *line) addMilliseconds(key string, d time.Duration) {
	l.addKey(key)
	l.text = strconv.AppendFloat(l.text, float64(d.Microseconds())/1000, 'f', 3, 64)
}
