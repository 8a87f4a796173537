"""`openline completion`: the script by which a shell completes commands and options."""

import click
from click.shell_completion import get_completion_class

# By shell: what is to be done with the script, once.
_INSTALL = {
    "bash": ("openline completion bash > ~/.local/share/bash-completion/completions/openline",),
    "zsh": (
        "mkdir -p ~/.zfunc && openline completion zsh > ~/.zfunc/_openline",
        "and in ~/.zshrc: fpath+=~/.zfunc; autoload -Uz compinit && compinit",
    ),
    "fish": ("openline completion fish > ~/.config/fish/completions/openline.fish",),
}


@click.command()
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script by which the shell completes commands and options; its last lines say how to install it."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"this version of click completes nothing in {shell}")
    click.echo(kind(ctx.find_root().command, {}, "openline", "_OPENLINE_COMPLETE").source().rstrip())
    click.echo("\n".join(("# To install it:", *(f"#   {line}" for line in _INSTALL[shell]))))
