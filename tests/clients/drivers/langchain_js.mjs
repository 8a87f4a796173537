// `@langchain/openai` under LangChain's `createAgent`: invoke, stream (a model that streams), v1 (`outputVersion`, streaming).
import { HumanMessage, mapChatMessagesToStoredMessages, mapStoredMessagesToChatMessages } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { createAgent, tool } from "langchain";

import { INSTRUCTIONS, MODEL, PARAMETERS, TOOL, TOOL_SAYS, lookup, serve } from "./protocol.mjs";

serve((task, history) => {
  const model = new ChatOpenAI({
    model: MODEL,
    useResponsesApi: true,
    zdrEnabled: true, // store off
    modelKwargs: { include: ["reasoning.encrypted_content"] },
    streaming: task.mode !== "invoke",
    ...(task.mode === "v1" ? { outputVersion: "v1" } : {}),
  });
  const tools = [tool(lookup, { name: TOOL, description: TOOL_SAYS, schema: PARAMETERS })];
  const agent = createAgent({ model, tools, systemPrompt: INSTRUCTIONS });
  let messages = mapStoredMessagesToChatMessages(history ?? []);

  async function say(prompt) {
    const asked = [...messages, new HumanMessage(prompt)];
    ({ messages } = await agent.invoke({ messages: asked }));
    return messages.at(-1).text;
  }

  return { say, history: () => mapChatMessagesToStoredMessages(messages) };
});
