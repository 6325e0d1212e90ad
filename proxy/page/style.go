// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package page

// style.go: the style of all pages, for phones and desktops, light and dark. A page
// has no other resource: it may be shown where nothing else can be reached.

// light and dark are the colours. Each text has a contrast of 4.5:1 and more to what
// is behind it (WCAG 2.2, 1.4.3).
const (
	light = `--ground:#f5f6f8;--card:#fff;--line:#d8dce1;--ink:#1b1f24;--faint:#57606a;--link:#0b57d0;` +
		`--button:#0b57d0;--label:#fff;--safe:#e6f4ea;--unsafe:#fdecea;--plain:#eef0f3;--green:#137333;--red:#b3261e;--grey:#6e7781`
	dark = `--ground:#101317;--card:#1a1e23;--line:#333a42;--ink:#e6e8eb;--faint:#a3adb8;--link:#a8c7fa;` +
		`--button:#a8c7fa;--label:#062e6f;--safe:#14301d;--unsafe:#3b1d1b;--plain:#262b31;--green:#6dd58c;--red:#f2b8b5;--grey:#8b949e`
)

const style = `:root{color-scheme:light dark;` + light + `}` +
	`@media (prefers-color-scheme:dark){:root{` + dark + `}}` +
	`*{box-sizing:border-box}` +
	`body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--ground);color:var(--ink);` +
	`font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}` +
	`main{width:min(34rem,100%);padding:2rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;overflow-wrap:anywhere}` +
	`h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}` +
	`p{margin:0 0 1rem}` +
	`p:last-child{margin-bottom:0}` +
	`a{color:var(--link)}` +
	`.product{color:var(--faint);font-weight:600;margin-bottom:.5rem}` +
	`.reload{padding:.75rem 1rem;border-left:.25rem solid var(--grey);border-radius:.25rem;background:var(--plain)}` +
	`.reload strong{display:block}` +
	`.safe{border-color:var(--green);background:var(--safe)}` +
	`.unsafe{border-color:var(--red);background:var(--unsafe)}` +
	`.button{display:inline-block;padding:.7rem 1.2rem;border-radius:.5rem;background:var(--button);color:var(--label);font-weight:600;text-decoration:none}` +
	`a:focus-visible{outline:3px solid var(--ink);outline-offset:3px}` +
	`.support{margin-bottom:.25rem;font-size:.875rem;color:var(--faint)}` +
	`@media (max-width:30rem){body{padding:0;place-items:start stretch}main{min-height:100vh;padding:1.5rem 1.25rem;border:0;border-radius:0}}`
