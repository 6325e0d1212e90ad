// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"maps"
	"slices"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// assess does what Argo CD does with an object: one that is being deleted is
// Progressing before any script runs, and the script's table is the result
// otherwise. The interpreter and its libraries are those of Argo CD, util/lua.
func assess(t *testing.T, script string, object *unstructured.Unstructured) (health, message string) {
	t.Helper()
	if object.GetDeletionTimestamp() != nil {
		return "Progressing", "Pending deletion"
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		t.Fatalf("%v in\n%s", err, script)
	}
	result, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		t.Fatalf("the script returns a %s, not a table", state.Get(-1).Type())
	}
	return result.RawGetString("status").String(), result.RawGetString("message").String()
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		list := state.CreateTable(len(value), 0)
		for _, element := range value {
			list.Append(toLua(state, element))
		}
		return list
	case map[string]any:
		object := state.CreateTable(0, len(value))
		for key, field := range value {
			object.RawSetString(key, toLua(state, field))
		}
		return object
	}
	return lua.LNil
}

// scripts returns the page's scripts by kind.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, text := range manifests(t, "ConfigMap") {
		var config struct {
			Metadata struct{ Name string }
			Data     map[string]string
		}
		if err := yaml.Unmarshal([]byte(text), &config); err != nil {
			t.Fatal(err)
		}
		if config.Metadata.Name != "argocd-cm" {
			t.Errorf("Argo CD reads argocd-cm, not %s", config.Metadata.Name)
		}
		for key, script := range config.Data {
			const prefix = "resource.customizations.health.callbackproxy.io_"
			if len(key) <= len(prefix) || key[:len(prefix)] != prefix {
				t.Errorf("Argo CD has no key %s", key)
				continue
			}
			found[key[len(prefix):]] = script
		}
	}
	return found
}

// The table's column for Argo CD is what the page's scripts return.
func TestArgoCD_ComputesTheTable(t *testing.T) {
	all := scripts(t)
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, []string{"CallbackProxy", "CallbackRoute"}) {
		t.Fatalf("the page has scripts for %v", got)
	}
	for kind, script := range all {
		for _, row := range table(t) {
			if got, message := assess(t, script, object(t, kind, row.state)); got != row.withScript || message == "" || message == "nil" {
				t.Errorf("%s, %s: the script returns %s (%s), the table has %s", kind, row.state, got, message, row.withScript)
			}
		}
	}
}

// A script never fails, whatever a status lacks.
func TestArgoCD_ScriptsEndForEveryStatus(t *testing.T) {
	for kind, script := range scripts(t) {
		for _, status := range []map[string]any{nil, {}, {"observedGeneration": int64(2)}, {"observedGeneration": int64(2), "conditions": []any{}}} {
			u := object(t, kind, "served")
			delete(u.Object, "status")
			if status != nil {
				u.Object["status"] = status
			}
			if got, _ := assess(t, script, u); got != "Progressing" {
				t.Errorf("%s with status %v: %s", kind, status, got)
			}
		}
	}
}

// Argo CD and kstatus agree on every row.
func TestTools_Agree(t *testing.T) {
	same := map[string]string{"InProgress": "Progressing", "Current": "Healthy", "Failed": "Degraded", "Terminating": "Progressing"}
	for _, row := range table(t) {
		if same[row.kstatus] != row.withScript {
			t.Errorf("%s: kstatus has %s, Argo CD %s", row.state, row.kstatus, row.withScript)
		}
		// Argo CD's health package knows no kind of this group; of every object it
		// knows only that it is being deleted.
		if want := map[bool]string{true: "Progressing", false: "not assessed"}[row.state == "being deleted"]; row.without != want {
			t.Errorf("%s: without a script Argo CD has %s, the table %s", row.state, want, row.without)
		}
	}
}
