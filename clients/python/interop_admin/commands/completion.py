"""What a shell completes in commands of the operator's side; asks the other commands what they know.

Nothing is imported before a shell asks.
"""

import click
from click.shell_completion import CompletionItem


class TakesUpOptions(click.Command):
    """A command that hands options on to `interopsim up`, and completes them as that does."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Returns the options that begin so: its own, and those of `up`."""
        return [*super().shell_complete(ctx, incomplete), *_command(ctx, "up").shell_complete(ctx, incomplete)]


def complete_up_value(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Returns values of the option of `up` that comes before, which begin so."""
    option = next(iter(reversed(context.params.get("options") or ())), "")
    takers = (each for each in _command(context, "up").params if option in each.opts)
    return [item for taker in takers for item in taker.shell_complete(context, begun)]


def complete_requirement(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Returns the ids of requirements that begin so."""
    [ids] = (each for each in _command(context, "requirements").params if each.name == "ids")
    return ids.shell_complete(context, begun)


def complete_reason(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Returns the reasons of refusals that begin so."""
    from interop_api.v1.errors_pb2 import ErrorReason

    names = (name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:])
    return [CompletionItem(name) for name in names if name.startswith(begun.upper())]


def _command(context: click.Context, name: str) -> click.Command:
    commands = context.find_root().command
    assert isinstance(commands, click.Group)
    command = commands.get_command(context, name)
    assert command is not None, "it is there"
    return command
