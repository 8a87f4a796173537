// Vercel's AI SDK with its OpenAI provider: generate, stream, and with the API's default of `store`: stored, stored-stream.
import { openai } from "@ai-sdk/openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

import { INSTRUCTIONS, MODEL, PARAMETERS, TOOL, TOOL_SAYS, lookup, serve } from "./protocol.mjs";

serve((task, history) => {
  const stored = task.mode.startsWith("stored");
  const settings = {
    model: openai(MODEL),
    instructions: INSTRUCTIONS,
    tools: { [TOOL]: tool({ description: TOOL_SAYS, inputSchema: jsonSchema(PARAMETERS), execute: lookup }) },
    stopWhen: stepCountIs(20),
    providerOptions: { openai: stored ? {} : { store: false, include: ["reasoning.encrypted_content"] } },
  };
  const messages = history ?? [];

  async function ask() {
    if (!task.mode.endsWith("stream")) return generateText({ ...settings, messages });
    const result = streamText({ ...settings, messages, onError: () => {} });
    for await (const part of result.stream ?? result.fullStream) { // its name before 7
      if (part.type === "error") throw part.error; // the SDK itself throws nothing here
    }
    return result;
  }

  async function say(prompt) {
    messages.push({ role: "user", content: prompt });
    const result = await ask();
    messages.push(...((await result.responseMessages) ?? (await result.response).messages)); // the latter before 7
    return result.text;
  }

  return { say, history: () => messages };
});
