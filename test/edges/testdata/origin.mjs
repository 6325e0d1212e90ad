// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0
//
// origin.mjs: Node's own HTTP server. It responds with what it made of each request and lists all of them, in hexadecimal digits,
// at /record. Its first line of output is its port.
import http from "node:http";

const seen = [];
const server = http.createServer((request, response) => {
  if (request.url === "/record") {
    response.end(seen.map((message) => message.toString("hex")).join("\n"));
    return;
  }
  const parts = [Buffer.from(`${request.method} ${request.url}\n`, "latin1")];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const message = Buffer.concat(parts);
    seen.push(message);
    response.end(message);
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
