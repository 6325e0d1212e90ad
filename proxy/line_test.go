// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"reflect"
	"testing"
	"time"
)

// A line decodes to what slog's line decodes to, with any text.
func TestLine_IsSlogs(t *testing.T) {
	for _, text := range []string{
		"", "identity/acme-sso", `"`, `\`, "a\nb\r\x00\x1f\x7f", "<&>", "Schl\u00fcssel", "\xff\xc3", "\u2028", `","level":"ERROR`,
	} {
		now := time.Date(2026, 11, 29, 12, 0, 0, 1234567, time.FixedZone("", 3600))
		l := line{}
		l.begin(now, text)
		l.addString("s", text)
		l.addInt("n", -3)
		l.addList("keys", []string{"code", "state"})
		l.addList("none", nil)
		l.addTrue("is")
		l.addMilliseconds("ms", 1234567*time.Nanosecond)
		l.end()

		var slogs bytes.Buffer
		record := slog.NewRecord(now, slog.LevelInfo, text, 0)
		record.AddAttrs(slog.String("s", text), slog.Int("n", -3), slog.String("keys", "code,state"), slog.String("none", ""),
			slog.Bool("is", true), slog.Float64("ms", 1.234))
		if err := slog.NewJSONHandler(&slogs, nil).Handle(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := json.Unmarshal(l.text, &got); err != nil {
			t.Errorf("%q: %v", l.text, err)
		}
		if err := json.Unmarshal(slogs.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) || bytes.Count(l.text, []byte("\n")) != 1 {
			t.Errorf("the line is %s, slog's %s", l.text, slogs.Bytes())
		}
	}
}
