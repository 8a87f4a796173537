"""A shell: how it is told a variable, and how it puts in the token, which is in no line."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType

from proxy.settings_shown import TokenPlace
from proxy.settings_sources import TOKEN_VARIABLE

_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@%+=-]+")


@dataclass(frozen=True, slots=True)
class Shell:
    """One kind of shell."""

    assignment: str
    """A line, of a name and a value."""
    quoted: Callable[[str], str]
    first_line: str
    """What the shell puts the first line of a file in place of."""
    variable: str
    joint: str
    """What stands between the parts of a value."""
    use: str
    """How a command's lines are used in it."""

    def line(self, name: str, value: str) -> str:
        """Set the variable, for this shell and its children."""
        return self.assignment.format(name, self.quoted(value))

    def used(self, command: str) -> str:
        """What is typed to go by the lines of this command."""
        return self.use.format(command)

    def line_with_token(self, name: str, before: str, token: TokenPlace, after: str) -> str:
        """The same, with the token in the value."""
        spelled = self.first_line.format(self.quoted(token.file)) if token.file else self.variable
        return self.assignment.format(name, self.joint.join((self.quoted(before), spelled, self.quoted(after))))


def _fish_quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else "'" + re.sub(r"([\\'])", r"\\\1", text) + "'"


def _powershell_quoted(text: str) -> str:
    # It takes typographic quotes for plain ones.
    return "'" + re.sub("(['\u2018-\u201b])", r"\1\1", text) + "'"


SHELLS: Mapping[str, Shell] = MappingProxyType(
    {
        "sh": Shell("export {}={}", shlex.quote, '"$(head -n 1 {})"', f"${TOKEN_VARIABLE}", "", 'eval "$({})"'),
        "fish": Shell("set -gx {} {}", _fish_quoted, "(head -n 1 {})", f'"${TOKEN_VARIABLE}"', "", "{} | source"),
        "powershell": Shell(
            "$env:{} = {}",
            _powershell_quoted,
            "(Get-Content -TotalCount 1 -LiteralPath {})",
            f"$env:{TOKEN_VARIABLE}",
            " + ",
            "{} | Out-String | Invoke-Expression",
        ),
    }
)


def shell_of(path: str) -> str:
    """The kind of the shell that is at this path; `sh` where that is none of the others, or empty."""
    name = PurePath(path).stem
    return "powershell" if name in {"pwsh", "powershell"} else name if name in SHELLS else "sh"
