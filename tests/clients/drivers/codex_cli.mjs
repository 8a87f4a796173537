// codex: `codex exec` for the first prompt, `codex exec resume` for each later one; its own shell is the tool.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { run } from "./program.mjs";
import { MODEL, serve } from "./protocol.mjs";

// One tool: which of several the simulator's model takes differs from run to run, as codex names each run anew.
const OFF = ["unified_exec", "view_image", "goals", "multi_agent", "tool_suggest", "image_generation", "apps", "plugins"];

class CodexError extends Error {}

const config = (task) => `
model = "${MODEL}"
model_provider = "openline"
approval_policy = "never"
sandbox_mode = "read-only"
web_search = "disabled"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.openline]
name = "Openline"
base_url = "${task.base_url}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
[features]
${OFF.map((name) => `${name} = false`).join("\n")}
`;

serve((task, history) => {
  const work = join(task.folder, "work");
  mkdirSync(join(task.folder, ".codex"), { recursive: true });
  mkdirSync(work, { recursive: true });
  writeFileSync(join(task.folder, ".codex", "config.toml"), config(task));
  let thread = history;

  async function say(prompt) {
    const how = ["exec", "--json", "--skip-git-repo-check"];
    const words = thread ? [...how, "resume", thread, prompt] : [...how, prompt];
    let text = null;
    let failed = null;
    const status = await run("codex", words, work, (event) => {
      if (event.type === "thread.started") thread = event.thread_id;
      if (event.type === "item.completed" && event.item.type === "agent_message") text = event.item.text;
      if (event.type === "turn.failed") failed = event.error.message;
    });
    if (failed !== null || status !== 0) throw new CodexError(failed ?? `exit status ${status}`);
    return text;
  }

  return { say, history: () => thread ?? null };
});
