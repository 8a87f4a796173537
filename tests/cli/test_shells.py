"""Shells: how each is told a variable, whatever is in it."""

import shlex

import pytest

from proxy.cli.shells import SHELLS, shell_of
from proxy.settings_shown import TokenPlace

IN_FILE = TokenPlace("/it's my $HOME", plain_in_urls=True)
IN_VARIABLE = TokenPlace(None, plain_in_urls=True)


@pytest.mark.parametrize(
    ("shell", "plain", "odd", "variable"),
    [
        ("sh", "export A=http://x/v1", """export A='it'"'"'s $x'""", "export A=x/t/$OPENLINE_TOKEN/v1"),
        ("fish", "set -gx A http://x/v1", r"set -gx A 'it\'s $x'", 'set -gx A x/t/"$OPENLINE_TOKEN"/v1'),
        (
            "powershell",
            "$env:A = 'http://x/v1'",
            "$env:A = 'it''s $x'",
            "$env:A = 'x/t/' + $env:OPENLINE_TOKEN + '/v1'",
        ),
    ],
)
def test_a_line_sets_a_variable(shell: str, plain: str, odd: str, variable: str) -> None:
    """Plain values, values with quotes, and values with the token of the variable."""
    kind = SHELLS[shell]
    assert kind.line("A", "http://x/v1") == plain
    assert kind.line("A", "it's $x") == odd
    assert kind.line_with_token("A", "x/t/", IN_VARIABLE, "/v1") == variable


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("sh", f'export A=x/t/"$(head -n 1 {shlex.quote(str(IN_FILE.file))})"/v1'),
        ("fish", r"set -gx A x/t/(head -n 1 '/it\'s my $HOME')/v1"),
        ("powershell", "$env:A = 'x/t/' + (Get-Content -TotalCount 1 -LiteralPath '/it''s my $HOME') + '/v1'"),
    ],
)
def test_a_token_is_read_by_the_shell(shell: str, line: str) -> None:
    """Of a token in a file the line has the file's name, quoted."""
    assert SHELLS[shell].line_with_token("A", "x/t/", IN_FILE, "/v1") == line


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("sh", 'eval "$(openline env --port 1)"'),
        ("fish", "openline env --port 1 | source"),
        ("powershell", "openline env --port 1 | Out-String | Invoke-Expression"),
    ],
)
def test_a_command_is_used(shell: str, line: str) -> None:
    """Each shell has its way to go by the lines of a command."""
    assert SHELLS[shell].used("openline env --port 1") == line


def test_powershell_takes_other_quotes_for_quotes() -> None:
    """Typographic quotes are doubled as plain ones are, and backslashes stay in fish."""
    assert SHELLS["powershell"].line("A", "a\u2019b") == "$env:A = 'a\u2019\u2019b'"
    assert SHELLS["fish"].line("A", "a\\b") == "set -gx A 'a\\\\b'"


@pytest.mark.parametrize(
    ("path", "shell"),
    [
        *(("/bin/bash", "sh"), ("/usr/bin/zsh", "sh"), ("", "sh"), ("/usr/local/bin/fish", "fish")),
        *(("/usr/bin/pwsh", "powershell"), ("/opt/pwsh.exe", "powershell"), ("/bin/nu", "sh")),
    ],
)
def test_the_shell_is_known_by_its_path(path: str, shell: str) -> None:
    """What $SHELL names; all that is neither fish nor PowerShell is taken for a POSIX shell."""
    assert shell_of(path) == shell
