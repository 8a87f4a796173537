// The tool `lookup` as an extension of pi.
import { PARAMETERS, TOOL, TOOL_SAYS, lookup } from "./protocol.mjs";

export default function extend(pi) {
  pi.registerTool({
    name: TOOL,
    label: TOOL,
    description: TOOL_SAYS,
    parameters: PARAMETERS,
    execute: async (_id, params) => ({ content: [{ type: "text", text: lookup(params) }], details: {} }),
  });
}
