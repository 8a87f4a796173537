"""`openline completion`: scripts that shells can use."""

import asyncio

import pytest

from tests.cli.process import ran


@pytest.mark.parametrize(
    ("shell", "begins", "installed"),
    [
        ("bash", "_openline_completion() {", "bash-completion/completions/openline"),
        ("zsh", "#compdef openline", "~/.zfunc/_openline"),
        ("fish", "function _openline_completion", "fish/completions/openline.fish"),
    ],
)
async def test_a_script_for_each_shell(shell: str, begins: str, installed: str) -> None:
    """Click's script, which asks `openline` itself, and behind it how to install it."""
    status, out, err = await ran("completion", shell)
    assert (status, err) == (0, "")
    assert out.startswith(begins)
    assert f"_OPENLINE_COMPLETE={shell}_complete" in out
    script, _, rest = out.partition("\n# To install it:\n")
    assert installed in rest
    assert all(line.startswith("#   ") for line in rest.splitlines())
    assert "To install" not in script


async def test_bash_takes_it() -> None:
    """Bash evaluates the script without a word, and completes `openline` by it."""
    _, script, _ = await ran("completion", "bash")
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-c", 'eval "$1" && complete -p openline', "bash", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err) == (0, b"")
    assert b"-F _openline_completion openline" in out


async def test_another_shell_is_a_misuse() -> None:
    """What click knows no script for is refused with the names of those that it knows."""
    status, out, err = await ran("completion", "tcsh")
    assert (status, out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in err
