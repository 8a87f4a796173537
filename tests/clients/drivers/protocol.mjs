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

// A request's fields but for its input.
export const SETTINGS = {
  model: MODEL,
  instructions: INSTRUCTIONS,
  tools: [{ type: "function", name: TOOL, description: TOOL_SAYS, parameters: PARAMETERS, strict: true }],
  store: false,
  include: ["reasoning.encrypted_content"],
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

// A conversation for clients that leave the agent's loop to their caller: `ask(items)` gives the items that the model said.
export function conversation(ask, history) {
  const items = history ?? [];

  async function say(prompt) {
    items.push({ role: "user", content: prompt });
    for (;;) {
      const output = await ask(items);
      items.push(...output);
      const calls = output.filter((item) => item.type === "function_call");
      if (!calls.length) {
        const parts = output.filter((item) => item.type === "message").flatMap((item) => item.content);
        return parts.map((part) => part.text).join("");
      }
      for (const call of calls) {
        const result = lookup(JSON.parse(call.arguments));
        items.push({ type: "function_call_output", call_id: call.call_id, output: result });
      }
    }
  }

  return { say, history: () => items };
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
