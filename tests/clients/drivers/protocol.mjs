// How a driver in JavaScript talks to the harness; tests/clients/README.md describes it.
import { existsSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const MODEL = "gpt-5.4";
export const INSTRUCTIONS = "Look things up.";
export const TOOL = "lookup";
export const TOOL_SAYS = "Look up a key.";
export const PARAMETERS = {
  type: "object",
  properties: { key: { type: "string" }, n: { type: "integer" } },
  required: ["key", "n"],
  additionalProperties: false,
};

export const lookup = ({ key, n }) => `result of ${key} ${n}`;

// `start(task, history)` begins a conversation, anew (null) or from what `history()` of one gave:
// an object with `async say(prompt)`, the model's last text, and `history()`, JSON.
export async function serve(start) {
  const task = JSON.parse(process.argv[2]);
  const state = join(task.folder, "state.json");
  const histories = existsSync(state) ? JSON.parse(readFileSync(state, "utf8")) : [];
  const talks = await Promise.all(histories.map((history) => start(task, history)));
  for await (const line of createInterface({ input: process.stdin })) {
    const prompts = JSON.parse(line);
    while (talks.length < prompts.length) talks.push(await start(task, null));
    const said = await Promise.allSettled(prompts.map((prompt, n) => talks[n].say(prompt)));
    writeFileSync(state, JSON.stringify(talks.map((talk) => talk.history())));
    writeSync(1, `=> ${JSON.stringify(said.map(reply))}\n`);
  }
  process.exit(0);
}

// The text, or the error as the client raised it.
function reply({ status, value, reason }) {
  if (status === "fulfilled") return { text: value };
  const code = reason?.status ?? reason?.statusCode;
  return {
    error: reason?.constructor?.name ?? typeof reason,
    status: typeof code === "number" ? code : null,
    message: String(reason?.message ?? reason),
  };
}
