// The tool `lookup` as an MCP server on stdin and stdout, for the programs that take tools in no other way.
import { createInterface } from "node:readline";

import { PARAMETERS, TOOL, TOOL_SAYS, lookup } from "./protocol.mjs";

const TOOLS = [{ name: TOOL, description: TOOL_SAYS, inputSchema: PARAMETERS, annotations: { readOnlyHint: true } }];

const answers = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: "reader", version: "1.0.0" },
  }),
  ping: () => ({}),
  "tools/list": () => ({ tools: TOOLS }),
  "tools/call": (params) => ({ content: [{ type: "text", text: lookup(params.arguments) }] }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) continue; // a notification
  const answer = answers[method]
    ? { result: answers[method](params ?? {}) }
    : { error: { code: -32601, message: `no such method: ${method}` } };
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, ...answer })}\n`);
}
