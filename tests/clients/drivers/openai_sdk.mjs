// The `openai` package for Node: create, stream, helper (responses.stream()), parse.
import OpenAI from "openai";

import { INSTRUCTIONS, MODEL, PARAMETERS, TOOL, TOOL_SAYS, lookup, serve } from "./protocol.mjs";

const SETTINGS = {
  model: MODEL,
  instructions: INSTRUCTIONS,
  tools: [{ type: "function", name: TOOL, description: TOOL_SAYS, parameters: PARAMETERS, strict: true }],
  store: false,
  include: ["reasoning.encrypted_content"],
};

serve((task, history) => {
  const client = new OpenAI();
  const items = history ?? [];

  async function ask() {
    const request = { ...SETTINGS, input: items };
    if (task.mode === "create") return client.responses.create(request);
    if (task.mode === "helper") return client.responses.stream(request).finalResponse();
    let final;
    for await (const event of await client.responses.create({ ...request, stream: true })) {
      if (event.type === "response.completed") final = event.response;
    }
    if (!final) throw new Error("the stream ended without response.completed");
    return final;
  }

  async function say(prompt) {
    items.push({ role: "user", content: prompt });
    for (;;) {
      const response = await ask();
      items.push(...response.output);
      const calls = response.output.filter((item) => item.type === "function_call");
      if (!calls.length) {
        const parts = response.output.filter((item) => item.type === "message").flatMap((item) => item.content);
        return parts.map((part) => part.text).join("");
      }
      for (const call of calls) {
        const output = lookup(JSON.parse(call.arguments));
        items.push({ type: "function_call_output", call_id: call.call_id, output });
      }
    }
  }

  return { say, history: () => items };
});
