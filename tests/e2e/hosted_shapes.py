"""Hosted shapes: conversations with what the upstream runs itself, or puts into words of its own."""

from collections.abc import Mapping, Sequence

from tests.e2e.shapes import DELTA, EXEC, FIRST, ON, OPENING, THOUGHT, TOOL, TOOLS, Round, call, result, said, user
from tests.e2e.stack import Item

HOSTED = "full hosted_tools"
_PROGRAM: Item = {
    "type": "program",
    "id": "prog_1",
    "call_id": "call_prog",
    "code": "await tools.lookup({key: 1})",
    "fingerprint": "fp_1",
}
_CALLER: Item = {"type": "program", "caller_id": "call_prog"}
_SHELL: Item = {"commands": ["ls"], "timeout_ms": 1000, "max_output_length": None}
_RAN: Item = {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}

# What the upstream ran, or put into words of its own: type → what the model says, and what the caller adds to it.
#
# The upstream may remember more of these, or something else, than it told. So it is with the calls that the caller runs
# for it, too (computer, shells, patches, a search for tools): the upstream makes typed items of what the model wrote,
# where the arguments of a function and the input of a custom tool are the model's own text.
UPSTREAM_SIDE: Mapping[str, tuple[Sequence[Item], Sequence[Item]]] = {
    "web_search_call": (
        [{"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}],
        [],
    ),
    "file_search_call": (
        [{"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"], "results": None}],
        [],
    ),
    "code_interpreter_call": (
        [
            {
                "type": "code_interpreter_call",
                "id": "ci_1",
                "status": "completed",
                "code": "1",
                "container_id": "cntr_1",
                "outputs": [{"type": "logs", "logs": "1"}],
            }
        ],
        [],
    ),
    "image_generation_call": (
        [
            {
                "type": "image_generation_call",
                "id": "ig_1",
                "status": "completed",
                "result": "iVBORw0KGgo=",
                "size": None,
            }
        ],
        [],
    ),
    "mcp_list_tools, mcp_call": (
        [
            {
                "type": "mcp_list_tools",
                "id": "mcpl_1",
                "server_label": "s",
                "tools": [{"name": "n", "input_schema": {}}],
            },
            {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "n", "arguments": "{}", "output": "1"},
        ],
        [],
    ),
    "mcp_approval_request": (
        [{"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s", "name": "n", "arguments": "{}"}],
        [{"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True, "reason": None}],
    ),
    "program, program_output": (
        [
            _PROGRAM,
            {"type": "program_output", "id": "po_1", "call_id": "call_prog", "result": "1", "status": "completed"},
        ],
        [],
    ),
    "program, whose calls the caller answers": (
        [_PROGRAM, call("lookup", caller=_CALLER)],
        [result("lookup", "1", caller=_CALLER)],
    ),
    "tool_search_call of the upstream": (
        [
            {
                "type": "tool_search_call",
                "id": "tsc_1",
                "execution": "server",
                "call_id": None,
                "status": "completed",
                "arguments": {"paths": ["x"]},
            },
            {
                "type": "tool_search_output",
                "id": "tso_1",
                "execution": "server",
                "call_id": None,
                "status": "completed",
                "tools": [TOOL],
            },
        ],
        [],
    ),
    "additional_tools": ([{**TOOLS, "role": "unknown"}], []),
    "shell_call of the upstream": (
        [
            {
                "type": "shell_call",
                "id": "sh_1",
                "call_id": "call_sh",
                "status": "completed",
                "action": _SHELL,
                "environment": {"type": "container_reference", "container_id": "cntr_1"},
            },
            {
                "type": "shell_call_output",
                "id": "sho_1",
                "call_id": "call_sh",
                "status": "completed",
                "output": [_RAN],
                "max_output_length": None,
            },
        ],
        [],
    ),
    "outputs of calls": (
        [
            call("x", caller=_CALLER),
            {**EXEC, "call_id": "call_y", "caller": _CALLER},
            result("x", "1", id="fco_1", status="completed"),
            {
                "type": "custom_tool_call_output",
                "id": "ctco_1",
                "call_id": "call_y",
                "output": "1",
                "status": "completed",
            },
        ],
        [],
    ),
    "tool_search_call of the caller": (
        [
            {
                "type": "tool_search_call",
                "id": "tsc_1",
                "execution": "client",
                "call_id": "call_ts",
                "status": "completed",
                "arguments": {"goal": "x"},
            }
        ],
        [
            {
                "type": "tool_search_output",
                "execution": "client",
                "call_id": "call_ts",
                "status": "completed",
                "tools": [TOOL],
            }
        ],
    ),
    "computer_call": (
        [
            {
                "type": "computer_call",
                "id": "cu_1",
                "call_id": "call_cu",
                "status": "completed",
                "action": {"type": "click", "button": "left", "x": 1, "y": 2},
                "pending_safety_checks": [{"id": "cu_sc_1", "code": "c", "message": None}],
            }
        ],
        [
            {
                "type": "computer_call_output",
                "call_id": "call_cu",
                "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBORw0KGgo="},
                "acknowledged_safety_checks": [{"id": "cu_sc_1", "code": "c", "message": None}],
            }
        ],
    ),
    "local_shell_call": (
        [
            {
                "type": "local_shell_call",
                "id": "lsh_1",
                "call_id": "call_lsh",
                "status": "completed",
                "action": {"type": "exec", "command": ["ls"], "env": {"B": "1", "A": "2"}, "timeout_ms": None},
            }
        ],
        [{"type": "local_shell_call_output", "id": "call_lsh", "output": '{"stdout":"a"}', "status": None}],
    ),
    "shell_call of the caller": (
        [
            {
                "type": "shell_call",
                "id": "sh_1",
                "call_id": "call_sh",
                "status": "completed",
                "action": _SHELL,
                "environment": {"type": "local"},
            }
        ],
        [{"type": "shell_call_output", "call_id": "call_sh", "output": [_RAN], "max_output_length": 100}],
    ),
    "apply_patch_call": (
        [
            {
                "type": "apply_patch_call",
                "id": "apc_1",
                "call_id": "call_ap",
                "status": "completed",
                "operation": {"type": "update_file", "path": "a.py", "diff": "@@\n-1\n+2\n"},
            }
        ],
        [{"type": "apply_patch_call_output", "call_id": "call_ap", "status": "completed", "output": None}],
    ),
    "from_the_future": ([{"type": "from_the_future", "id": "ff_1", "deep": [{"b": None, "a": [1, 1.0]}]}], []),
}


def _after(says: Sequence[Item], adds: Sequence[Item]) -> Sequence[Round]:
    """Such items, then a full turn, from which the chain goes on."""
    last = [] if adds else [said("told")]
    return [
        OPENING,
        Round([user("Use it.")], [THOUGHT, *says, *last]),
        Round(adds or [user("And?")], [said("and")], HOSTED, relaxed=DELTA),
        ON,
    ]


SHAPES: Mapping[str, Sequence[Round]] = {
    **{name: _after(*items) for name, items in UPSTREAM_SIDE.items()},
    # The upstream goes on with its program by itself: of the second call no `program` item tells.
    "a program that calls again": [
        Round([user("Begin.")], [_PROGRAM, call("a", caller=_CALLER)], FIRST),
        Round([result("a", "1", caller=_CALLER)], [call("b", caller=_CALLER)], HOSTED, relaxed=DELTA),
        Round([result("b", "2", caller=_CALLER)], [said("done")], HOSTED, relaxed=DELTA),
        ON,
    ],
}
