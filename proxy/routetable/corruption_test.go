// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strings"
	"testing"
)

// corrupted is a config on its way to a proxy.
type corrupted struct {
	index  Payload
	shards store
}

func (c *corrupted) decode() (*Table, error) { return Decode(c.index, c.shards.lookup) }

// corrupter makes corruptions of one config and counts those that are
// adopted.
type corrupter struct {
	t        *testing.T
	good     *Encoded
	shards   store
	tried    int
	accepted int
}

func newCorrupter(t *testing.T) *corrupter {
	t.Helper()
	table := withHolds(plainTable(2), 1)
	becomeOpaque(&table.Routes[1], "DELETE", "M-SEARCH", "PUT")
	c := &corrupter{t: t, good: mustEncode(t, table, 1)}
	c.shards = storeOf(c.good)
	if len(c.good.Shards) != 3 {
		t.Fatalf("%d shards", len(c.good.Shards))
	}
	if _, err := c.config().decode(); err != nil {
		t.Fatalf("the config that is corrupted is not good itself: %v", err)
	}
	return c
}

func (c *corrupter) config() *corrupted {
	return &corrupted{index: c.good.Index, shards: maps.Clone(c.shards)}
}

// refuse fails the test when a corrupted config is adopted.
func (c *corrupter) refuse(config *corrupted, what string, args ...any) {
	c.tried++
	table, err := config.decode()
	if err == nil || table != nil {
		c.accepted++
		c.t.Errorf(what+": adopted", args...)
	}
}

// payloads are the index (-1) and the shards, by number.
func (c *corrupter) payloads() map[int]Payload {
	all := map[int]Payload{-1: c.good.Index}
	for i, shard := range c.good.Shards {
		all[i] = shard
	}
	return all
}

// unsealed puts data in the place of a payload whose hash stays, as a bad disk or
// network does.
func (c *corrupter) unsealed(part int, data string) *corrupted {
	config := c.config()
	if part < 0 {
		config.index.Data = data
	} else {
		config.shards[c.good.Shards[part].Hash] = data
	}
	return config
}

// sealed does the same with all hashes made to fit, as another writer, or another
// version of the controller, does.
func (c *corrupter) sealed(part int, data string) *corrupted {
	config := c.config()
	if part < 0 {
		config.index = Payload{Hash: HashOf(data), Data: data}
		return config
	}
	old := c.good.Shards[part].Hash
	delete(config.shards, old)
	config.shards[HashOf(data)] = data
	index := strings.Replace(config.index.Data, old, HashOf(data), 1)
	config.index = Payload{Hash: HashOf(index), Data: index}
	return config
}

// F25: 100k corrupted configs, none adopted, no panic.
func TestF25_NoCorruptedConfigIsAdopted(t *testing.T) {
	t.Parallel()
	c := newCorrupter(t)
	for part, p := range c.payloads() {
		for bit := range len(p.Data) * 8 {
			flipped := []byte(p.Data)
			flipped[bit/8] ^= 1 << (bit % 8)
			c.refuse(c.unsealed(part, string(flipped)), "part %d, bit %d flipped", part, bit)
		}
		for at := range len(p.Data) {
			c.refuse(c.unsealed(part, p.Data[:at]), "part %d, cut at %d", part, at)
			c.refuse(c.sealed(part, p.Data[:at]), "part %d, cut at %d, hash fits", part, at)
			c.refuse(c.unsealed(part, p.Data[:at]+p.Data[at+1:]), "part %d, without byte %d", part, at)
			for _, other := range []byte("\x00\t\n\r \"\\/[]{},:01aAzZ\x7f\x80\xc0\xff") {
				if other != p.Data[at] {
					data := p.Data[:at] + string([]byte{other}) + p.Data[at+1:]
					c.refuse(c.unsealed(part, data), "part %d, %q for byte %d", part, other, at)
				}
			}
			for _, more := range []string{"\x00", " ", "0", "\xff", "}", ",", "null", `"a":1,`, "\ufeff", "\r\n", p.Data[at : at+1], p.Data} {
				data := p.Data[:at] + more + p.Data[at:]
				c.refuse(c.unsealed(part, data), "part %d, %.9q at %d", part, more, at)
			}
			// Outside strings these never belong to the encoding, inside the
			// first two are not valid and the third makes no valid value.
			for _, more := range []string{"\x00", "\n", "\xff"} {
				data := p.Data[:at] + more + p.Data[at:]
				c.refuse(c.sealed(part, data), "part %d, %.9q at %d, hash fits", part, more, at)
			}
		}
	}
	t.Logf("%d corrupted configs, %d adopted", c.tried, c.accepted)
	if c.tried < 100_000 {
		t.Errorf("only %d corrupted configs", c.tried)
	}
}

// A bit flip whose hash fits may give another valid config. A second, naive check
// agrees that it is one.
func TestF25_AnAdoptedConfigIsCanonical(t *testing.T) {
	t.Parallel()
	c := newCorrupter(t)
	adopted := 0
	for part, p := range map[int]Payload{-1: c.good.Index, 0: c.good.Shards[0]} {
		for bit := range len(p.Data) * 8 {
			flipped := []byte(p.Data)
			flipped[bit/8] ^= 1 << (bit % 8)
			config := c.sealed(part, string(flipped))
			table, err := config.decode()
			if err != nil {
				continue
			}
			adopted++
			if err := table.Validate(); err != nil {
				t.Errorf("part %d, bit %d: adopted an invalid table: %v", part, bit, err)
			}
			if err := judgeJSON(flipped); err != nil {
				t.Errorf("part %d, bit %d: adopted %v", part, bit, err)
			}
		}
	}
	if adopted == 0 {
		t.Error("no flip gave another valid config: the test proves nothing")
	}
}

var (
	printable   = regexp.MustCompile(`^[ -~]*$`)
	plainNumber = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	plainName   = regexp.MustCompile(`^[a-z][A-Za-z]*$`)
)

// judgeJSON refuses repeated and oddly spelled members and values without the
// package under test.
func judgeJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := judgeValue(decoder); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something after the value")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil || compact.Len() != len(data) {
		return errors.New("space between tokens")
	}
	if !printable.Match(data) || bytes.ContainsRune(data, '\\') {
		return errors.New("a value in another spelling")
	}
	return nil
}

func judgeValue(decoder *json.Decoder) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if number, is := token.(json.Number); is && !plainNumber.MatchString(number.String()) {
		return fmt.Errorf("number %s", number)
	}
	open, is := token.(json.Delim)
	if !is {
		return nil
	}
	seen := map[string]bool{}
	for decoder.More() {
		if open == '{' {
			name, err := decoder.Token()
			if err != nil {
				return err
			}
			key := fmt.Sprint(name)
			if seen[key] || !plainName.MatchString(key) {
				return fmt.Errorf("member %s", key)
			}
			seen[key] = true
		}
		if err := judgeValue(decoder); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// member and value of an encoded object, as text.
var memberPattern = regexp.MustCompile(`"([a-zA-Z]+)":("[^"]*"|[0-9]+)`)

// Each other spelling of the same content is refused although every hash
// fits: two proxies that read it must not be able to differ.
func TestF25_OneSpellingOnly(t *testing.T) {
	t.Parallel()
	c := newCorrupter(t)
	for part, p := range c.payloads() {
		for _, at := range memberPattern.FindAllStringSubmatchIndex(p.Data, -1) {
			name, value := p.Data[at[2]:at[3]], p.Data[at[4]:at[5]]
			for what, member := range spellings(name, value) {
				data := p.Data[:at[0]] + member + p.Data[at[1]:]
				c.refuse(c.sealed(part, data), "part %d, %s of %s", part, what, name)
			}
		}
		for _, edge := range []string{" " + p.Data, p.Data + " ", p.Data + "\n", p.Data + p.Data, "\ufeff" + p.Data, p.Data + "\x00"} {
			c.refuse(c.sealed(part, edge), "part %d, with something around it", part)
		}
		for at := range len(p.Data) {
			if strings.IndexByte("{}[],:", p.Data[at]) < 0 || inString(p.Data, at) {
				continue
			}
			c.refuse(c.sealed(part, p.Data[:at]+" "+p.Data[at:]), "part %d, space at %d", part, at)
		}
	}
	if c.tried < 1000 {
		t.Errorf("only %d spellings", c.tried)
	}
}

// spellings are other ways to write a member, and additions to it.
func spellings(name, value string) map[string]string {
	member := fmt.Sprintf("%q:%s", name, value)
	all := map[string]string{
		"a repetition":        member + "," + member,
		"a repetition before": fmt.Sprintf("%q:null,%s", name, member),
		"an unknown neighbor": member + `,"weigth":1`,
		"another case":        fmt.Sprintf("%q:%s", strings.ToUpper(name[:1])+name[1:], value),
		"upper case":          fmt.Sprintf("%q:%s", strings.ToUpper(name), value),
		"both cases":          member + fmt.Sprintf(",%q:%s", strings.ToUpper(name), value),
		"an escaped name":     fmt.Sprintf(`"\u%04x%s":%s`, name[0], name[1:], value),
		"null":                fmt.Sprintf("%q:null", name),
		"a list":              fmt.Sprintf("%q:[%s]", name, value),
		"an object":           fmt.Sprintf("%q:{}", name),
	}
	if text, is := strings.CutPrefix(value, `"`); is {
		text = text[:len(text)-1]
		all["NUL"] = fmt.Sprintf(`%q:"%s\u0000"`, name, text)
		if text != "" {
			all["an escape"] = fmt.Sprintf(`%q:"\u%04x%s"`, name, text[0], text[1:])
			all["an escaped slash"] = fmt.Sprintf(`%q:"%s\/"`, name, text)
		}
	} else {
		all["a fraction"] = fmt.Sprintf("%q:%s.0", name, value)
		all["an exponent"] = fmt.Sprintf("%q:%se0", name, value)
		all["a string"] = fmt.Sprintf("%q:%q", name, value)
		all["a leading zero"] = fmt.Sprintf("%q:0%s", name, value)
		all["a minus"] = fmt.Sprintf("%q:-%s", name, value)
		all["too many digits"] = fmt.Sprintf("%q:%s99999999999999999999", name, value)
	}
	return all
}

func inString(data string, at int) bool { return strings.Count(data[:at], `"`)%2 == 1 }

// Whole parts in the wrong place, size or number.
func TestF25_PartsThatDoNotFitTogether(t *testing.T) {
	t.Parallel()
	c := newCorrupter(t)
	first, second := c.good.Shards[0].Hash, c.good.Shards[1].Hash
	good := c.good.Index.Data
	list := good[strings.Index(good, `"shards":[`)+len(`"shards":[`) : len(good)-2]

	for what, data := range map[string]string{
		"a shard named twice":       strings.Replace(good, second, first, 1),
		"a shard left out":          strings.Replace(good, `"`+first+`",`, "", 1),
		"a shard that is no hash":   strings.Replace(good, first, "0", 1),
		"hash in capitals":          strings.Replace(good, first, strings.ToUpper(first), 1),
		"one route more":            strings.Replace(good, `"routes":2`, `"routes":3`, 1),
		"no routes":                 strings.Replace(good, `"routes":2`, `"routes":0`, 1),
		"one hold more":             strings.Replace(good, `"holds":1`, `"holds":2`, 1),
		"no holds":                  strings.Replace(good, `,"holds":1`, "", 1),
		"zero holds":                strings.Replace(good, `"holds":1`, `"holds":0`, 1),
		"an older format":           strings.Replace(good, `"format":2`, `"format":1`, 1),
		"a newer format":            strings.Replace(good, `"format":2`, `"format":3`, 1),
		"no shards at all":          strings.Replace(good, list, "", 1),
		"null for shards":           strings.Replace(good, "["+list+"]", "null", 1),
		"too many shards":           strings.Replace(good, list, strings.Repeat(`"`+first+`",`, maxShards+1)+`"`+first+`"`, 1),
		"no port":                   strings.Replace(good, `"listenerPort":8080`, `"listenerPort":0`, 1),
		"host bits in a network":    strings.Replace(good, `10.0.0.0/8`, `10.0.0.1/8`, 1),
		"a shard for the index":     c.good.Shards[0].Data,
		"nothing":                   "",
		"an empty object":           "{}",
		"null":                      "null",
		"a list":                    "[]",
		"deep nesting":              strings.Repeat("[", 20000) + strings.Repeat("]", 20000),
		"more than 1 MiB":           good[:len(good)-1] + strings.Repeat(" ", 1<<20) + "}",
		"more than 1 MiB of a list": strings.Replace(good, list, list+strings.Repeat(`,""`, 1<<19), 1),
	} {
		if data == good {
			t.Fatalf("%s: changes nothing", what)
		}
		c.refuse(c.sealed(-1, data), "%s", what)
	}
	for part := range c.good.Shards {
		data := c.good.Shards[part].Data
		c.refuse(c.sealed(part, good), "the index for a shard")
		c.refuse(c.sealed(part, data[:len(data)-1]+strings.Repeat(" ", 1<<20)+"}"), "a shard of more than 1 MiB")
		for other := range c.good.Shards {
			if other != part {
				c.refuse(c.unsealed(part, c.good.Shards[other].Data), "shards exchanged")
			}
		}
	}
	// Each rule of Validate applies, although the spelling is right.
	for _, tc := range invalidRoutes {
		table := plainTable(2)
		tc.change(&table.Routes[0])
		data, err := marshal(shard{Format: format, Routes: table.Routes})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		ix, err := marshal(index{Format: format, Settings: table.Settings, Routes: 2, Shards: []string{HashOf(string(data))}})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		c.refuse(&corrupted{
			index:  Payload{Hash: HashOf(string(ix)), Data: string(ix)},
			shards: store{HashOf(string(data)): string(data)},
		}, "%s", tc.name)
	}
	for _, tc := range invalidSettings {
		settings := plainTable(0).Settings
		if _, err := configOf(t, settings).decode(); err != nil {
			t.Fatalf("before the change of %s: %v", tc.name, err)
		}
		tc.change(&settings)
		c.refuse(configOf(t, settings), "%s", tc.name)
	}
}

// configOf is a config without routes.
func configOf(t *testing.T, settings Settings) *corrupted {
	t.Helper()
	data, err := marshal(index{Format: format, Settings: settings, Shards: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return &corrupted{index: Payload{Hash: HashOf(string(data)), Data: string(data)}}
}

// An error about bytes that cannot be decoded does not quote them.
func TestDecode_ErrorsHoldNoContent(t *testing.T) {
	c := newCorrupter(t)
	for part, p := range c.payloads() {
		for _, at := range memberPattern.FindAllStringSubmatchIndex(p.Data, -1) {
			for _, value := range []string{`"5ecret`, `5ecret`, `{"5ecret":1}`, `["5ecret"]`, `"\5ecret"`, `98765.4321`, `98765e9999`, `"T5ecretZ"`} {
				_, err := c.sealed(part, p.Data[:at[4]]+value+p.Data[at[5]:]).decode()
				if strings.HasPrefix(value, `"T`) && strings.HasPrefix(p.Data[at[4]:], `"`) && !strings.HasPrefix(p.Data[at[4]:], `"2026`) {
					continue // any text can be read as this member; Validate decides whether it may be served
				}
				if err == nil || strings.Contains(err.Error(), "5ecret") || strings.Contains(err.Error(), "98765") {
					t.Errorf("part %d, %s: %v", part, p.Data[at[2]:at[3]], err)
				}
			}
		}
	}
}
