// `@openai/agents`: its own loop, its own tools: run, stream, or stored (the API's defaults).
import { Agent, Runner, tool } from "@openai/agents";

import { INSTRUCTIONS, MODEL, PARAMETERS, TOOL, TOOL_SAYS, lookup, serve } from "./protocol.mjs";

const STATELESS = { store: false, providerData: { include: ["reasoning.encrypted_content"] } };

serve((task, history) => {
  const agent = new Agent({
    name: "reader",
    instructions: INSTRUCTIONS,
    model: MODEL,
    modelSettings: task.mode === "stored" ? {} : STATELESS,
    tools: [tool({ name: TOOL, description: TOOL_SAYS, parameters: PARAMETERS, strict: true, execute: lookup })],
  });
  const runner = new Runner({ tracingDisabled: true });
  let items = history ?? [];

  async function say(prompt) {
    const asked = [...items, { role: "user", content: prompt }];
    const result = await runner.run(agent, asked, { stream: task.mode === "stream" });
    if (task.mode === "stream") await result.completed;
    items = result.history;
    return String(result.finalOutput);
  }

  return { say, history: () => items };
});
