"""How a command is called, and what is said to whoever has left something out."""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperCommand


class Command(TyperCommand):
    """A command that names the arguments it lacks in the order in which they are written.

    Where an argument takes any number of names and others follow it, as in ``run SOURCE... DEST``, a parser
    gives the last names to the last arguments; who has written one name has left out what comes after it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As of any command; an argument that is left out is a fault that names it and says what it is."""
        if not ctx.resilient_parsing:
            self._require(ctx, list(args))
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """OPTIONS and the arguments, as documents write them: SOURCE... DEST [IMAGE]..."""
        arguments = [param for param in self.get_params(ctx) if isinstance(param, TyperArgument)]
        return ["[OPTIONS]", *map(_written, arguments)]

    def _require(self, ctx: Any, args: list[str]) -> None:
        given, _, _ = self.make_parser(ctx).parse_args(args=args)
        eager = [param.name for param in self.get_params(ctx) if param.is_eager]
        arguments = [param for param in self.get_params(ctx) if isinstance(param, TyperArgument)]
        if any(given.get(str(name)) for name in eager):
            return  # --help: nothing else is asked for
        count = sum(_count(given.get(str(param.name))) for param in arguments)
        missing = [param for param in arguments if param.required][count:]
        if missing:
            names = [_written(param).partition(" ")[0] for param in missing]
            said = [str(param.help or "").rstrip(".") for param in missing]
            if len(missing) == 1:
                ctx.fail(f"{names[0]} is missing. {said[0]}.")
            told = ". ".join(f"{name}: {text}" for name, text in zip(names, said, strict=True))
            ctx.fail(f"{' and '.join(names)} are missing. {told}.")


def _written(param: TyperArgument) -> str:
    name = param.metavar or str(param.name).upper()
    if not param.required and not name.startswith("["):
        name = f"[{name}]"
    return name if param.nargs == 1 or "..." in name else f"{name}..."


def _count(value: Any) -> int:
    if isinstance(value, list | tuple):
        return sum(one is not None for one in value)
    return 0 if value is None else 1
