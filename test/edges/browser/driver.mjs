// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0
//
// driver.mjs: drives the installed Chromium by lines of JSON. In: {"do":"visit"|"change"|"look"|"save", ...}; out: one line for each.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND",
  ],
});

// A context has its own connections, as a user of its own has.
let context, page, documents;

async function renew() {
  await context?.close();
  context = await browser.newContext({ viewport: { width: 720, height: 360 } });
  page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send("Network.enable");
  documents = new Map();
  devtools.on("Network.requestWillBeSent", (e) => {
    if (e.type === "Document") documents.set(e.requestId, { url: e.request.url, method: e.request.method });
  });
  devtools.on("Network.responseReceived", (e) => {
    const d = documents.get(e.requestId);
    if (d) Object.assign(d, { status: e.response.status, reused: e.response.connectionReused });
  });
  devtools.on("Network.loadingFailed", (e) => {
    const d = documents.get(e.requestId);
    if (d) Object.assign(d, { error: e.errorText, done: true });
  });
  devtools.on("Network.loadingFinished", (e) => {
    const d = documents.get(e.requestId);
    if (d) d.done = true;
  });
  return {};
}

// visit opens a URL and returns when the last document whose URL contains `until` has ended.
async function visit({ url, until = url, millis }) {
  documents.clear();
  const loading = page.goto(url, { timeout: millis, waitUntil: "load" }).catch(() => {});
  const end = Date.now() + millis;
  const find = () => [...documents.values()].reverse().find((d) => d.url.includes(until));
  while (!find()?.done && Date.now() < end) await page.waitForTimeout(20);
  await loading;
  const found = find();
  if (!found) return { error: "no document" };
  const shown = await page.evaluate(() => document.body?.innerText ?? "").catch(() => "");
  return { ...found, shown, title: await page.title().catch(() => "") };
}

// change makes requests for documents have another method, and more headers.
async function change({ method, headers = {} }) {
  await page.unroute("**/*");
  if (!method && Object.keys(headers).length === 0) return {};
  await page.route("**/*", async (route) => {
    const request = route.request();
    if (request.resourceType() !== "document") return route.continue();
    await route.continue({ method: method || request.method(), headers: { ...request.headers(), ...headers } });
  });
  return {};
}

async function resize({ width, height = 640, dark }) {
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// look returns what a person sees in a window of a size, and what a screen reader gets.
async function look({ width, dark }) {
  await resize({ width, dark });
  const seen = await page.evaluate(() => ({
    lang: document.documentElement.lang,
    title: document.title,
    ground: getComputedStyle(document.body).backgroundColor,
    headings: document.querySelectorAll("h1").length,
    landmarks: document.querySelectorAll("main").length,
    scrolls: document.documentElement.scrollWidth > innerWidth,
  }));
  await page.evaluate(axe);
  seen.broken = await page.evaluate(async () => {
    const { violations, incomplete } = await globalThis.axe.run();
    return [...violations, ...incomplete].map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`);
  });
  await page.mouse.click(2, 2); // the tabulator key starts at the top
  seen.stops = [];
  for (let n = await page.evaluate(() => document.links.length); n > 0; n--) {
    await page.keyboard.press("Tab");
    seen.stops.push(
      await page.evaluate(() => {
        const style = getComputedStyle(document.activeElement);
        return { href: document.activeElement.href ?? "", outline: style.outlineStyle, width: parseFloat(style.outlineWidth) };
      }),
    );
  }
  await page.evaluate(() => document.activeElement?.blur());
  return seen;
}

async function save({ path, ...size }) {
  await resize(size);
  await page.screenshot({ path });
  return {};
}

const commands = { visit, change, look, save };
await renew();
process.stdout.write(JSON.stringify({ version: browser.version() }) + "\n");
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let result;
  try {
    result = await commands[command.do](command);
  } catch (failure) {
    result = { error: String(failure) };
  }
  process.stdout.write(JSON.stringify(result) + "\n");
}
await browser.close();
