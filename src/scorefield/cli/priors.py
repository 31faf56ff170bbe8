"""``scorefield priors``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from scorefield.cli.options import JSON, Options, make_command
from scorefield.cli.say import say, to_json

NUMBERS = 4  # of a list that are shown


class PriorsOptions(Options):
    name: str | None = Field(None, description="Show this prior's whole card.", json_schema_extra={"argument": True})
    as_json: bool = JSON


def run(options: PriorsOptions) -> None:
    """List the shipped priors, or show one card."""
    from scorefield import shipped

    names = [options.name] if options.name else shipped.names()
    plain = {name: json.loads((shipped.find(name) / "prior.json").read_text()) for name in names}
    if options.as_json:
        say(to_json(plain[options.name] if options.name else {name: each["card"] for name, each in plain.items()}))
        return
    for each in plain.values():
        card = each["card"]
        say(f"{card['name']}: {card['summary']}")
        for name, value in _card(card):
            say(f"    {name:<11}{value}")
        if options.name:
            for line in (*_built(each["prior"], "prior"), *_rows(card["training"], "training")):
                say(f"    {line}")


def _card(card: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "unit", card["unit"]
    for line in card["provenance"]:
        yield "data", line
    yield "limits", card["limits"]


def _built(plain: Any, name: str, depth: int = 0) -> Iterator[str]:
    """A described object as indented lines, its own numbers on one."""
    if not isinstance(plain, Mapping):
        return
    fields = plain.get("fields", {})
    own = ", ".join(f"{n} {_short(value)}" for n, value in fields.items() if not isinstance(value, Mapping))
    yield f"{'  ' * depth}{name:<{18 - 2 * depth}}{str(plain.get('class')).partition('.')[2]} ({own})"
    for inner, value in fields.items():
        yield from _built(value, inner, depth + 1)


def _rows(data: Mapping[str, Any], name: str) -> Iterator[str]:
    """Numbers and texts of a record, one a line; what is nested deeper is in the JSON."""
    yield name
    for key, value in data.items():
        if not isinstance(value, Mapping):
            yield f"  {key:<16}{_short(value)}"
            continue
        inner = ", ".join(f"{n} {_short(v)}" for n, v in value.items() if not isinstance(v, (Mapping, list)))
        yield f"  {key:<16}{inner}"


def _short(value: Any) -> str:
    if isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        return f"{len(value)} entries"
    if isinstance(value, list):
        shown = ", ".join(_short(item) for item in value[:NUMBERS])
        return f"[{shown}, ... {len(value)} in all]" if len(value) > NUMBERS else f"[{shown}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


command = make_command(PriorsOptions, run)
