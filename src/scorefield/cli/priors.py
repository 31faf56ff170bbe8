"""``scorefield priors``."""

from __future__ import annotations

import json

from pydantic import Field

from scorefield.cli.options import Options, make_command
from scorefield.cli.say import say


class PriorsOptions(Options):
    name: str | None = Field(None, description="Show this prior's whole card.", json_schema_extra={"argument": True})


def run(options: PriorsOptions) -> None:
    """List the shipped priors, or show one card."""
    from scorefield import shipped

    chosen = [options.name] if options.name else shipped.names()
    for name in chosen:
        plain = json.loads((shipped.find(name) / "prior.json").read_text())
        card = plain["card"]
        say(f"{card['name']}: {card['summary']}")
        say(f"    unit       {card['unit']}")
        for line in card["provenance"]:
            say(f"    data       {line}")
        say(f"    limits     {card['limits']}")
        if options.name:
            say(json.dumps({"prior": plain["prior"], "training": card["training"]}, indent=2))


command = make_command(PriorsOptions, run)
