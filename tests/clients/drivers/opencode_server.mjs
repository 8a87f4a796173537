// opencode: its server (`opencode serve`, what its own clients talk to), a session for each conversation; the tool is an MCP server's.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { WORK } from "./program.mjs";
import { MODEL, serve } from "./protocol.mjs";

const PROGRAM = fileURLToPath(new URL("../node_modules/.bin/opencode", import.meta.url));
const READER = fileURLToPath(new URL("mcp_lookup.mjs", import.meta.url));

class OpencodeError extends Error {
  constructor(error) {
    super(error.data?.message ?? error.name);
    this.status = error.data?.statusCode;
  }
}

const config = (task) => ({
  model: `openai/${MODEL}`,
  autoupdate: false,
  snapshot: false,
  lsp: false,
  formatter: false,
  provider: { openai: { options: { baseURL: task.base_url } } },
  mcp: { reader: { type: "local", command: [process.execPath, READER] } },
  tools: { "*": false, "reader_*": true },
});

let listening; // one server for all conversations

async function server(task) {
  const folder = join(task.folder, ".config", "opencode");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "opencode.json"), JSON.stringify(config(task)));
  const env = { ...process.env, PWD: WORK };
  const program = spawn(PROGRAM, ["serve", "--port", "0"], { cwd: WORK, env, stdio: ["ignore", "pipe", "inherit"] });
  process.on("exit", () => program.kill());
  for await (const line of createInterface({ input: program.stdout })) {
    const url = /listening on (http:\S+)/.exec(line);
    if (url) return url[1];
  }
  throw new Error("opencode ended before it listened");
}

async function post(task, path, body) {
  listening ??= server(task);
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`${await listening}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json();
  const error = answer.ok ? said.info?.error : said;
  if (error) throw new OpencodeError(error);
  return said;
}

serve((task, history) => {
  let session = history;

  async function say(prompt) {
    session ??= (await post(task, "/session", { title: "reading" })).id;
    const model = { providerID: "openai", modelID: MODEL };
    const { parts } = await post(task, `/session/${session}/message`, { model, parts: [{ type: "text", text: prompt }] });
    return parts.filter((part) => part.type === "text").map((part) => part.text).join("");
  }

  return { say, history: () => session ?? null };
});
