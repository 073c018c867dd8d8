"""`interopsim completion`: the script with which a shell completes commands, options and names; click writes it."""

import click
from click.shell_completion import CompletionItem, get_completion_class

PROGRAM = "interopsim"


@click.command(
    epilog='Examples: eval "$(interopsim completion bash)" | '
    "interopsim completion fish > ~/.config/fish/completions/interopsim.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that has SHELL complete commands, options, limits, requirements and reasons."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three"
    click.echo(kind(context.find_root().command, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())


def limit_names(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Returns the limits whose names begin so, ready for a value."""
    from interop_server.limit_list import list_limits

    return [CompletionItem(f"{entry.name}=") for entry in list_limits() if entry.name.startswith(begun)]


def requirement_ids(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Returns the ids of the requirements that begin so."""
    from interop_server.ledger import load_ledger

    return [CompletionItem(each) for each in load_ledger().rows if each.startswith(begun.upper())]
