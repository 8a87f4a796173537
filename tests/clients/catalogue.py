"""Catalogue: the clients."""

import re
from collections.abc import Mapping

from tests.clients.client import Client
from tests.clients.environment import Packages

_EXPORTED = (
    "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
    "(Nothing else: the SDK reads it.)",
)

_LANGCHAIN = (
    "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
    "ChatOpenAI(model=…, use_responses_api=True)",
)

_LANGCHAIN_JS = (
    "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
    "new ChatOpenAI({model: …, useResponsesApi: true})",
)

_PYDANTIC = (
    "export OPENAI_BASE_URL=http://127.0.0.1:6736/v1",
    "Agent('openai-responses:MODEL')",
)

# The ids that these give items and sessions, anew in each run, and times; the model is shown none of them.
_CLI_OWN = (
    (re.compile(r'_unix_ms\\":\d+'), "_MS"),
    (re.compile(r'"create_time":[0-9.]+'), "TIME"),
    (re.compile(r"\bses_\w+"), "SESSION"),
    (re.compile(r"_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "_UUID"),
)

CLIENTS: tuple[Client, ...] = (
    Client(
        "openai",
        "openai for Python",
        Packages("pip", ("openai",)),
        "openai_sdk",
        ("sync", "raw", "parse", "async", "stream", "helper"),
        _EXPORTED,
        brief=frozenset({"raw", "parse", "async"}),
        quick=("stream",),
        skim=("sync",),
    ),
    Client(
        "openai-2",
        "openai for Python, major before",
        Packages("pip", ("openai<3",)),
        "openai_sdk",
        ("sync", "stream", "helper"),
        _EXPORTED,
        brief=frozenset({"sync", "helper"}),
        skim=("stream",),
    ),
    Client(
        "openai-node",
        "openai for Node",
        Packages("npm", ("openai@latest",)),
        "openai_sdk.mjs",
        ("create", "stream", "helper"),
        _EXPORTED,
        brief=frozenset({"create"}),
        quick=("stream",),
    ),
    Client(
        "openai-node-6",
        "openai for Node, major before",
        Packages("npm", ("openai@6",)),
        "openai_sdk.mjs",
        ("stream", "helper"),
        _EXPORTED,
        brief=frozenset({"helper"}),
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
        brief=frozenset({"session", "stored"}),
        skim=("stream",),
    ),
    Client(
        "langchain-openai",
        "langchain-openai",
        Packages("pip", ("langchain-openai", "langchain")),
        "langchain_openai",
        ("invoke", "stream", "v1"),
        _LANGCHAIN,
        brief=frozenset({"v1"}),
        skim=("stream",),
    ),
    Client(
        "langchain-openai-0",
        "langchain-openai, major before",
        Packages("pip", ("langchain-openai<1", "langgraph<1")),
        "langchain_openai",
        ("invoke", "stream"),
        _LANGCHAIN,
        limits="it drops `phase`; streaming, it sends back encrypted reasoning as it was when its item began: turns "
        "after such answers go in full",
        whole=False,
        brief=frozenset({"stream"}),
    ),
    Client(
        "pydantic-ai",
        "pydantic-ai",
        Packages("pip", ("pydantic-ai-slim[openai]",)),
        "pydantic_ai",
        ("run", "stream", "stored"),
        _PYDANTIC,
        brief=frozenset({"stored"}),
        skim=("run",),
    ),
    Client(
        "pydantic-ai-1",
        "pydantic-ai, major before",
        Packages("pip", ("pydantic-ai-slim[openai]<2",)),
        "pydantic_ai",
        ("stream",),
        _PYDANTIC,
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
        ("run", "run+relaxed", "whole"),
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
        ("run", "stream", "run+relaxed"),
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
        skim=("stream",),
    ),
    Client(
        "ai-sdk-6",
        "Vercel's AI SDK, major before",
        Packages("npm", ("ai@6", "@ai-sdk/openai@3", "node@22")),
        "ai_sdk.mjs",
        ("stream", "generate"),
        _EXPORTED,
        brief=frozenset({"generate"}),
    ),
    Client(
        "openai-agents-js",
        "openai-agents for JS",
        Packages("npm", ("@openai/agents@latest", "zod@latest", "node@22")),
        "openai_agents_js.mjs",
        ("run", "stream", "stored"),
        _EXPORTED,
        brief=frozenset({"stored"}),
        skim=("run",),
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
        ("v1", "v1+openai", "v1+relaxed"),
        _LANGCHAIN_JS,
        limits="this format joins the parts of a reasoning summary, makes one up where there are none, and drops "
        "`phase`: turns after such answers go in full, "
        'unless `match = "relaxed"`; the default format has no such limit',
        whole=False,
    ),
    Client(
        "codex",
        "codex",
        Packages("npm", ("@openai/codex@latest",)),
        "codex_cli.mjs",
        ("builtin", "flag", "provider"),
        (
            "(`~/.codex/config.toml`:)",
            'openai_base_url = "http://127.0.0.1:6736/v1"',
        ),
        limits="it does not read `OPENAI_BASE_URL`: [more](#codex-in-detail)",
        brief=frozenset({"flag"}),
        own=_CLI_OWN,
        direct=("--no-websocket",),  # codex would speak WebSocket mode there; Openline answers 426 too
        skim=("builtin",),
    ),
    Client(
        "codex-chatgpt",
        "codex, signed in with ChatGPT",
        Packages("npm", ("@openai/codex@latest",)),
        "codex_cli.mjs",
        ("chatgpt",),
        (
            "openline run --upstream https://chatgpt.com/backend-api/codex",
            "(`~/.codex/config.toml`:)",
            'openai_base_url = "http://127.0.0.1:6736/v1"',
        ),
        limits="nothing is saved: its turns go over plain HTTP, as they are ([why](#codex-in-detail)); run with the "
        "simulator in ChatGPT's place, and a made-up login",
        whole=False,
        brief=frozenset({"chatgpt"}),
        own=_CLI_OWN,
        direct=("--no-websocket",),
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
        ("serve", "serve+openai", "serve+relaxed"),
        (
            "(`opencode.json`:)",
            '"provider": {"openai": {"options": {"baseURL": "http://127.0.0.1:6736/v1"}}}',
        ),
        limits="of a reasoning summary that has several parts it sends back the last: on hosts that read summaries, "
        'turns after such answers go in full, unless `match = "relaxed"`; api.openai.com does not read them',
        whole=False,
        whole_in=frozenset({"serve+openai", "serve+relaxed"}),
        own=_CLI_OWN,
        environ={"OPENCODE_DISABLE_MODELS_FETCH": "1"},
    ),
    Client(
        "browser",
        "a page in a browser (`fetch`, openai for Node)",
        Packages("npm", ("playwright-core@latest", "openai@latest", "esbuild@latest"), programs=("chromium",)),
        "browser.mjs",
        ("stream", "json", "sdk"),
        (
            "OPENLINE_ALLOWED_ORIGINS=http://localhost:5173 openline run",
            'fetch("http://127.0.0.1:6736/v1/responses", …)',
        ),
        brief=frozenset({"json"}),
        simulate=("--cors",),
        settings={"OPENLINE_ALLOWED_ORIGINS": "http://page.test"},
        skim=("stream",),
    ),
)
BY_NAME: Mapping[str, Client] = {client.name: client for client in CLIENTS}
