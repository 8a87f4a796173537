"""Catalogue: the clients, how they are installed, and what a user has to write to send them through Openline."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.clients.environment import Packages
from tests.clients.scripts import SCRIPTS, Script


@dataclass(frozen=True)
class Client:
    """One client. `modes`: the ways of using it that its driver knows; each goes through every script.

    `brief`: modes that reach the API as another one does, and so go through the brief scripts alone.
    `quick`: the modes that run in CI, for clients that install in seconds. `whole`: it sends back all that the model
    said, so that all but the first turn of a conversation can be deltas; where not, `limits` says why.
    `own`: patterns of what it makes up anew in each run. `variable`: where it looks for the base URL.
    """

    name: str
    title: str
    packages: Packages
    driver: str
    modes: tuple[str, ...]
    setup: tuple[str, ...]
    limits: str = ""
    brief: frozenset[str] = frozenset()
    quick: tuple[str, ...] = ()
    whole: bool = True
    own: tuple[tuple[re.Pattern[str], str], ...] = ()
    variable: str = "OPENAI_BASE_URL"
    environ: Mapping[str, str] = field(default_factory=dict)

    def scripts(self, mode: str) -> list[Script]:
        """The scripts that this mode goes through."""
        return [script for script in SCRIPTS if script.brief or mode not in self.brief]


_EXPORTED = (
    "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
    "(nothing else: the SDK reads it)",
)

_LANGCHAIN_JS = (
    "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
    "new ChatOpenAI({model: …, useResponsesApi: true})",
)

_STRING = r'"(?:[^"\\]|\\.)*"'
# These CLIs put ids and times of their own into requests, and those decide what the simulator's model says.
_CLI_OWN = (
    (re.compile(r"/[^\s\"\\<]*openline-client-\w+"), "FOLDER"),
    (re.compile(r"<skills_instructions>.*?</skills_instructions>"), "SKILLS"),  # eight codex unpack them at once
    (re.compile(r'_unix_ms\\":\d+'), "_MS"),
    (re.compile(r"\bses_\w+"), "SESSION"),
    (re.compile(rf'\{{"arguments":{_STRING}(?:,"\w+":{_STRING})*,"type":"function_call"\}}'), "CALL"),
    (re.compile(rf'\{{"call_id":{_STRING}(?:,"\w+":{_STRING})*,"type":"function_call_output"\}}'), "RESULT"),
    (re.compile(rf'\{{(?:"content":null,)?"encrypted_content":{_STRING},[^\]]*\],"type":"reasoning"\}}'), "REASONING"),
    (re.compile(r"\bmsg_[0-9a-f-]{16,}"), "MESSAGE"),
    (re.compile(r"prompt [0-9a-f]{32}"), "PROMPT"),
)

CLIENTS: tuple[Client, ...] = (
    Client(
        "openai",
        "openai for Python",
        Packages("pip", ("openai",)),
        "openai_sdk",
        ("sync", "raw", "parse", "async", "stream", "helper"),
        _EXPORTED,
        quick=("sync", "stream"),
        brief=frozenset({"raw", "parse", "async"}),
    ),
    Client(
        "openai-2",
        "openai for Python, major before",
        Packages("pip", ("openai<3",)),
        "openai_sdk",
        ("sync", "stream", "helper"),
        _EXPORTED,
        brief=frozenset({"sync", "helper"}),
    ),
    Client(
        "openai-node",
        "openai for Node",
        Packages("npm", ("openai@latest",)),
        "openai_sdk.mjs",
        ("create", "stream", "helper"),
        _EXPORTED,
        quick=("stream",),
        brief=frozenset({"create"}),
    ),
    Client(
        "curl",
        "curl",
        Packages("none", ("curl",)),
        "curl",
        ("json", "stream"),
        ("curl http://127.0.0.1:6736/v1/responses …",),
        quick=("json",),
    ),
    Client(
        "openai-agents",
        "openai-agents for Python",
        Packages("pip", ("openai-agents",)),
        "openai_agents",
        ("run", "stream", "session", "stored"),
        _EXPORTED,
        quick=("stream",),
        brief=frozenset({"session", "stored"}),
    ),
    Client(
        "langchain-openai",
        "langchain-openai",
        Packages("pip", ("langchain-openai", "langchain")),
        "langchain_openai",
        ("invoke", "stream", "v1"),
        (
            "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
            "ChatOpenAI(model=…, use_responses_api=True)",
        ),
        brief=frozenset({"v1"}),
    ),
    Client(
        "pydantic-ai",
        "pydantic-ai",
        Packages("pip", ("pydantic-ai-slim[openai]",)),
        "pydantic_ai",
        ("run", "stream", "stored"),
        (
            "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
            "Agent('openai-responses:MODEL')",
        ),
        brief=frozenset({"stored"}),
    ),
    Client(
        "litellm",
        "LiteLLM's SDK",
        Packages("pip", ("litellm", "mcp")),
        "litellm_sdk",
        ("create", "stream"),
        (
            "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
            "litellm.responses(model='openai/MODEL', …)",
        ),
        environ={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    ),
    Client(
        "llama-index",
        "llama-index",
        Packages("pip", ("llama-index-llms-openai", "llama-index-core")),
        "llama_index",
        ("run", "whole"),
        ("export OPENAI_API_BASE=http://127.0.0.1:6736/v1", "OpenAIResponses(model=…)"),
        limits='it drops reasoning items: turns after reasoning go in full, unless `match = "relaxed"`',
        variable="OPENAI_API_BASE",
        whole=False,
        brief=frozenset({"whole"}),
    ),
    Client(
        "agno",
        "agno",
        Packages("pip", ("agno", "openai", "sqlalchemy[asyncio]")),
        "agno_agent",
        ("run", "stream"),
        (
            "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
            "OpenAIResponses(id=…, store=False)",
        ),
        limits='it drops what the model says beside tool calls: such turns go in full, unless `match = "relaxed"`; '
        "without `store=False` it continues by id itself, and those turns pass through",
        whole=False,
    ),
    Client(
        "ai-sdk",
        "Vercel's AI SDK",
        Packages("npm", ("ai@latest", "@ai-sdk/openai@latest", "node@22")),
        "ai_sdk.mjs",
        ("generate", "stream", "stored", "stored-stream"),
        _EXPORTED,
        brief=frozenset({"stored", "stored-stream"}),
    ),
    Client(
        "openai-agents-js",
        "openai-agents for JS",
        Packages("npm", ("@openai/agents@latest", "zod@latest", "node@22")),
        "openai_agents_js.mjs",
        ("run", "stream", "stored"),
        _EXPORTED,
        brief=frozenset({"stored"}),
    ),
    Client(
        "langchain-js",
        "LangChain for JS",
        Packages("npm", ("@langchain/openai@latest", "langchain@latest", "@langchain/core@latest", "node@22")),
        "langchain_js.mjs",
        ("invoke", "stream"),
        _LANGCHAIN_JS,
    ),
    Client(
        "langchain-js-v1",
        "LangChain for JS, `outputVersion: 'v1'`",
        Packages("npm", ("@langchain/openai@latest", "langchain@latest", "@langchain/core@latest", "node@22")),
        "langchain_js.mjs",
        ("v1",),
        _LANGCHAIN_JS,
        limits="this format joins the parts of a reasoning summary, makes one up where there are none, and drops "
        "`phase`: turns after such answers go in full; the default format has no such limit",
        whole=False,
    ),
    Client(
        "codex",
        "codex",
        Packages("npm", ("@openai/codex@latest",)),
        "codex_cli.mjs",
        ("http",),
        (
            "(`~/.codex/config.toml`:)",
            'model_provider = "openline"',
            (
                'model_providers.openline = {name = "Openline", base_url = "http://127.0.0.1:6736/v1", '
                'env_key = "OPENAI_API_KEY", wire_api = "responses"}'
            ),
        ),
        limits="it does not read `OPENAI_BASE_URL`; the shorter `openai_base_url = …` works too, but then codex asks "
        "for a WebSocket first, is answered 426 and goes on with POST",
        own=_CLI_OWN,
    ),
    Client(
        "pi",
        "pi",
        Packages("npm", ("@earendil-works/pi-coding-agent@0.87.1", "node@22")),
        "pi_cli.mjs",
        ("json",),
        (
            "(`~/.pi/agent/models.json`:)",
            '{"providers": {"openai": {"baseUrl": "http://127.0.0.1:6736/v1"}}}',
        ),
        limits="not the newest release: parts of later ones were missing in the registry that it was installed from",
        own=_CLI_OWN,
    ),
    Client(
        "opencode",
        "opencode",
        Packages("npm", ("opencode-ai@latest",)),
        "opencode_server.mjs",
        ("serve",),
        (
            "(`opencode.json`:)",
            '"provider": {"openai": {"options": {"baseURL": "http://127.0.0.1:6736/v1"}}}',
        ),
        limits="it keeps only one part of a reasoning summary that has several: turns after such answers go in full",
        whole=False,
        own=_CLI_OWN,
        environ={"OPENCODE_DISABLE_MODELS_FETCH": "1"},
    ),
)
BY_NAME: Mapping[str, Client] = {client.name: client for client in CLIENTS}
