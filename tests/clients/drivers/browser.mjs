// A page in headless Chromium. Modes: json, stream (plain `fetch`), sdk (the `openai` package, in the page).
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { SETTINGS, conversation, serve } from "./protocol.mjs";

const task = JSON.parse(process.argv[2]);
process.env.TMPDIR = task.folder; // the browser's profile goes when the folder does, also when we are killed
const { chromium } = await import("playwright-core");

// The origin of the catalogue's entry; by whatever port the page is served.
const HOST = "page.test";
const PAGE = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="/page.js"></script>';
const SCRIPT = 'import OpenAI from "openai"; window.OpenAI = OpenAI;';

const page = await opened(await served());

serve((_, history) => {
  const request = { ...SETTINGS, stream: task.mode !== "json" };

  async function ask(items) {
    const { output, error } = await page.evaluate(asked, { task, request: { ...request, input: items } });
    if (error) throw Object.assign(new { [error.name]: class extends Error {} }[error.name](error.message), error);
    return output;
  }

  return conversation(ask, history);
});

// Runs in the page: what the model said, or the error as the page got it.
async function asked({ task, request }) {
  async function fetched() {
    const answer = await fetch(`${task.base_url}/responses`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${task.key}` },
      body: JSON.stringify(request),
    });
    if (!answer.ok) throw Object.assign(new Error(await answer.text()), { name: "HttpError", status: answer.status });
    return request.stream ? last(events(answer.body)) : answer.json();
  }

  async function* events(body) {
    let rest = "";
    for await (const piece of body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }

  async function last(stream) {
    let final;
    for await (const event of stream) if (event.type === "response.completed") final = event.response;
    if (!final) throw new Error("the stream ended without response.completed");
    return final;
  }

  async function byPackage() {
    const client = new OpenAI({ baseURL: task.base_url, apiKey: task.key, dangerouslyAllowBrowser: true });
    return last(await client.responses.create(request));
  }

  try {
    const response = await (task.mode === "sdk" ? byPackage() : fetched());
    return { output: response.output };
  } catch (error) {
    const name = error.name === "Error" ? error.constructor.name : error.name;
    return { error: { name, status: error.status, message: String(error.message) } };
  }
}

// A browser that reaches this page and loopback addresses, and nothing else.
async function opened(port) {
  const rules = `MAP ${HOST} 127.0.0.1:${port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`;
  const browser = await chromium.launch({
    executablePath: onPath("chromium"),
    args: ["--no-proxy-server", "--disable-gpu", "--disable-quic", `--host-resolver-rules=${rules}`],
  });
  const page = await browser.newPage();
  page.on("console", (line) => console.error(line.text()));
  await page.goto(`http://${HOST}/`);
  return page;
}

// A page with the package in it, bundled as pages are.
async function served() {
  const stdin = { contents: SCRIPT, resolveDir: fileURLToPath(new URL(".", import.meta.url)) };
  const { outputFiles } = await build({ stdin, bundle: true, write: false, logLevel: "error" });
  const server = createServer(({ url }, answer) => {
    answer.setHeader("Content-Type", url === "/page.js" ? "text/javascript" : "text/html");
    answer.end(url === "/page.js" ? outputFiles[0].text : PAGE);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}

function onPath(name) {
  const found = process.env.PATH.split(delimiter).map((folder) => join(folder, name));
  return found.find(existsSync);
}
