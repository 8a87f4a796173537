// codex: `codex exec` for the first prompt, `codex exec resume` for each later one; its own shell is the tool.
// Modes: `provider`, a provider of one's own in config.toml; `builtin`, `openai_base_url` for the built-in one, also there;
// `flag`, the same on the command line; `chatgpt`: as `builtin`, but signed in with ChatGPT (a made-up login).
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { run } from "./program.mjs";
import { MODEL, serve } from "./protocol.mjs";

// What needs the network, or another tool than its shell.
const OFF = ["unified_exec", "view_image", "goals", "multi_agent", "tool_suggest", "image_generation", "apps", "plugins"];

class CodexError extends Error {}

const provider = (task) => `
[model_providers.openline]
name = "Openline"
base_url = "${task.base_url}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
`;

const address = (task) => {
  if (task.mode === "provider") return 'model_provider = "openline"';
  return task.mode === "flag" ? "" : `openai_base_url = "${task.base_url}"`;
};

const config = (task) => `
model = "${MODEL}"
${address(task)}
approval_policy = "never"
sandbox_mode = "read-only"
web_search = "disabled"
check_for_update_on_startup = false
[analytics]
enabled = false
[skills.bundled]
enabled = false
${task.mode === "provider" ? provider(task) : ""}
[features]
${OFF.map((name) => `${name} = false`).join("\n")}
`;

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

// What `codex login` leaves behind, with a token that says what ChatGPT's say and that nobody signed.
function login(task) {
  const account_id = "account-of-the-test";
  const exp = Math.floor(Date.now() / 86_400_000 + 30) * 86_400;
  const claims = { exp, "https://api.openai.com/auth": { chatgpt_plan_type: "pro", chatgpt_account_id: account_id } };
  const token = [encoded({ alg: "none", typ: "JWT" }), encoded(claims), encoded("nobody")].join(".");
  const tokens = { id_token: token, access_token: token, refresh_token: "none", account_id };
  return { auth_mode: "chatgpt", OPENAI_API_KEY: null, tokens, last_refresh: new Date().toISOString() };
}

serve((task, history) => {
  mkdirSync(join(task.folder, ".codex"), { recursive: true });
  writeFileSync(join(task.folder, ".codex", "config.toml"), config(task));
  const first = task.mode === "flag" ? ["-c", `openai_base_url="${task.base_url}"`] : [];
  const environ = ["builtin", "flag"].includes(task.mode) ? { CODEX_API_KEY: task.key } : {};
  if (task.mode === "chatgpt") {
    writeFileSync(join(task.folder, ".codex", "auth.json"), JSON.stringify(login(task)), { mode: 0o600 });
  }
  let thread = history;

  async function say(prompt) {
    const how = [...first, "exec", "--json", "--skip-git-repo-check"];
    const words = thread ? [...how, "resume", thread, prompt] : [...how, prompt];
    let text = null;
    let failed = null;
    const seen = (event) => {
      if (event.type === "thread.started") thread = event.thread_id;
      if (event.type === "item.completed" && event.item.type === "agent_message") text = event.item.text;
      if (event.type === "turn.failed") failed = event.error.message;
    };
    const status = await run("codex", words, seen, environ);
    if (failed !== null || status !== 0) throw new CodexError(failed ?? `exit status ${status}`);
    return text;
  }

  return { say, history: () => thread ?? null };
});
