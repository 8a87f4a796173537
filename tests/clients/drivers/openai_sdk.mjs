// The `openai` package for Node: create, stream, helper (responses.stream()).
import OpenAI from "openai";

import { SETTINGS, conversation, serve } from "./protocol.mjs";

serve((task, history) => {
  const client = new OpenAI();

  async function ask(items) {
    const request = { ...SETTINGS, input: items };
    if (task.mode === "create") return (await client.responses.create(request)).output;
    if (task.mode === "helper") return (await client.responses.stream(request).finalResponse()).output;
    let final;
    for await (const event of await client.responses.create({ ...request, stream: true })) {
      if (event.type === "response.completed") final = event.response;
    }
    if (!final) throw new Error("the stream ended without response.completed");
    return final.output;
  }

  return conversation(ask, history);
});
