// pi: `pi --mode json` for the first prompt, with `--session` for each later one; the tool is an extension's.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { run } from "./program.mjs";
import { MODEL, serve } from "./protocol.mjs";

const EXTENSION = fileURLToPath(new URL("pi_lookup.mjs", import.meta.url));
const ALWAYS = ["--mode", "json", "--offline", "--provider", "openai", "--model", MODEL, "--thinking", "low"];

class PiError extends Error {}

serve((task, history) => {
  const agent = join(task.folder, ".pi", "agent");
  mkdirSync(agent, { recursive: true });
  writeFileSync(join(agent, "models.json"), JSON.stringify({ providers: { openai: { baseUrl: task.base_url } } }));
  let session = history;

  async function say(prompt) {
    const words = [...ALWAYS, "--no-builtin-tools", "--extension", EXTENSION, ...(session ? ["--session", session] : [])];
    let last = null;
    const status = await run("pi", [...words, prompt], (event) => {
      if (event.type === "session") session = event.id;
      if (event.type === "message_end" && event.message.role === "assistant") last = event.message;
    });
    if (status !== 0 || last?.stopReason === "error") throw new PiError(last?.errorMessage ?? `exit status ${status}`);
    return last.content.filter((part) => part.type === "text").map((part) => part.text).join("");
  }

  return { say, history: () => session ?? null };
});
