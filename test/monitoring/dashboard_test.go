// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
)

// dashboard is the part of a Grafana dashboard that the tests read.
type dashboard struct {
	Title         string `json:"title"`
	UID           string `json:"uid"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct {
			Name       string      `json:"name"`
			Type       string      `json:"type"`
			Datasource *datasource `json:"datasource"`
			Definition string      `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID          int         `json:"id"`
	Type        string      `json:"type"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Datasource  *datasource `json:"datasource"`
	GridPos     box         `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		Datasource *datasource `json:"datasource"`
		Expr       string      `json:"expr"`
		Legend     string      `json:"legendFormat"`
		RefID      string      `json:"refId"`
	} `json:"targets"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// chosen is the data source that the user selects in the dashboard.
var chosen = &datasource{Type: "prometheus", UID: "${datasource}"}

type box struct{ X, Y, W, H int }

func (b box) overlaps(o box) bool {
	return b.X < o.X+o.W && o.X < b.X+b.W && b.Y < o.Y+o.H && o.Y < b.Y+b.H
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	content, err := os.ReadFile(filepath.FromSlash(root + "/config/monitoring/dashboard.json"))
	if err != nil {
		t.Fatalf("read dashboard: %v", err)
	}
	var parsed dashboard
	if err := json.Unmarshal(content, &parsed); err != nil {
		t.Fatalf("decode dashboard: %v", err)
	}
	return parsed
}

var legendReference = regexp.MustCompile(`\{\{ *(\w+) *\}\}`)

func TestDashboard_UsesExportedMetrics(t *testing.T) {
	all := metricsOfBoth(t)
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			g := NewWithT(t)
			problems, available := all.check(target.Expr)
			g.Expect(problems).To(BeEmpty(), panel.Title)
			for _, reference := range legendReference.FindAllStringSubmatch(target.Legend, -1) {
				g.Expect(available).To(ContainElement(reference[1]), "legend of %s", panel.Title)
			}
		}
	}
}

func TestDashboard_PanelsAreDescribed(t *testing.T) {
	g := NewWithT(t)
	board := readDashboard(t)
	g.Expect(board.Panels).NotTo(BeEmpty())
	ids := map[int]bool{}
	for i, panel := range board.Panels {
		g.Expect(panel.Title).NotTo(BeEmpty())
		g.Expect(panel.Description).To(HaveSuffix("."), panel.Title)
		g.Expect(panel.Type).NotTo(BeEmpty(), panel.Title)
		g.Expect(panel.FieldConfig.Defaults.Unit).NotTo(BeEmpty(), panel.Title)
		g.Expect(panel.Datasource).To(Equal(chosen), panel.Title)
		g.Expect(panel.Targets).NotTo(BeEmpty(), panel.Title)
		queries := map[string]bool{}
		for _, target := range panel.Targets {
			g.Expect(target.Expr).NotTo(BeEmpty(), panel.Title)
			g.Expect(target.Datasource).To(Equal(chosen), panel.Title)
			g.Expect(queries).NotTo(HaveKey(target.RefID), "queries of %s", panel.Title)
			queries[target.RefID] = true
		}
		g.Expect(ids).NotTo(HaveKey(panel.ID), "ids are used once")
		ids[panel.ID] = true
		g.Expect(panel.GridPos.X+panel.GridPos.W).To(BeNumerically("<=", 24), panel.Title)
		for _, other := range board.Panels[:i] {
			g.Expect(panel.GridPos.overlaps(other.GridPos)).To(BeFalse(), "%s overlaps %s", panel.Title, other.Title)
		}
	}
}

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

func TestDashboard_VariablesAreFilled(t *testing.T) {
	g := NewWithT(t)
	all, board := metricsOfBoth(t), readDashboard(t)
	g.Expect(board.Title).NotTo(BeEmpty())
	g.Expect(board.UID).To(MatchRegexp(`^[a-zA-Z0-9_-]{1,40}$`))
	g.Expect(board.SchemaVersion).To(BeNumerically(">=", 39))
	g.Expect(board.Templating.List[0].Name).To(Equal("datasource"))
	g.Expect(board.Templating.List[0].Type).To(Equal("datasource"))
	for _, variable := range board.Templating.List[1:] {
		g.Expect(variable.Datasource).To(Equal(chosen), variable.Name)
		parts := labelValues.FindStringSubmatch(variable.Definition)
		g.Expect(parts).NotTo(BeNil(), variable.Name)
		problems, available := all.check(parts[1])
		g.Expect(problems).To(BeEmpty(), variable.Name)
		g.Expect(available).To(ContainElement(parts[2]), variable.Name)
	}
}
