"""Commands from models: every field of a pydantic model is an option, and a key of the YAML configuration."""

from __future__ import annotations

import difflib
import inspect
import reprlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.core import TyperCommand

from scorefield.errors import InputError, shorten

LONGEST = 1 << 20  # bytes of a configuration
SHORT = reprlib.Repr()  # of a value in a sentence
SHORT.maxstring = SHORT.maxother = 80


class Command(TyperCommand):
    """A command that refuses a value without the words that pydantic puts before its sentences."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


class Options(BaseModel):
    """Options of one command; unknown keys are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)


O = TypeVar("O", bound=Options)
DEVICE: Any = Field("cpu", description="Where to compute: cpu, cuda, cuda:1 or mps.")
JSON: Any = Field(
    False, description="Print the result as JSON, and nothing else.", json_schema_extra={"flag": "--json"}
)


def device_of(name: str) -> str:
    """A device that computes.

    Raises:
        InputError: an unknown name, or a device that this machine does not have.
    """
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for a device
        raise InputError(f"The device '{shorten(name, 40)}' cannot compute here; give cpu, cuda or mps.") from error
    return name


def make_command(options: type[O], run: Callable[[O], None]) -> TyperCommand:
    """A typer command whose options are the fields of ``options``.

    A first field marked ``json_schema_extra={"argument": True}`` is positional; ``{"flag": "--json"}`` gives an option
    another name, ``{"text": True}`` makes it a text on the command line where YAML may also hold a mapping.  ``--config
    FILE.yaml`` gives any of them; the command line takes precedence.
    """

    def _invoke(config: Path | None = None, **given: Any) -> None:
        run(read_options(config, options, {n: value for n, value in given.items() if value not in (None, [], ())}))

    parameters = [_parameter(name, info) for name, info in options.model_fields.items()]
    help_config = "YAML file with any of these options (names with underscores)."
    config = Annotated[Path | None, typer.Option("--config", help=help_config)]
    parameters.append(inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=config))
    _invoke.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    _invoke.__doc__ = run.__doc__
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(cls=Command)(_invoke)
    return typer.main.get_command(app)  # pyright: ignore[reportReturnType]


def read_options(config: Path | None, options: type[O], given: dict[str, Any] | None = None) -> O:
    """The options of a YAML file, and those that are given, which take precedence.

    Raises:
        InputError: the file cannot be read, or an option is unknown, missing or out of range.
    """
    return _validate(options, (_read(config, options) if config else {}) | (given or {}))


def _parameter(name: str, info: FieldInfo) -> inspect.Parameter:
    required = info.default is PydanticUndefined
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    text = (info.description or "") + _range(info)
    if not required and info.default is not None:
        text += f" [default: {getattr(info.default, 'value', info.default)}]"
    positional = bool(extra.get("argument"))
    names = [str(extra["flag"])] if "flag" in extra else []
    maker = typer.Argument if positional else partial(typer.Option, *names)
    # nothing is required of click: the configuration may give it, and validation names what is missing
    kind = str if extra.get("text") else info.annotation
    annotation = Annotated[_optional(kind), maker(help=text, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _range(info: FieldInfo) -> str:
    """The bounds of a number, by its validation."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    bounds = [f"{sign} {getattr(m, name):g}" for m in info.metadata for name, sign in signs.items() if hasattr(m, name)]
    return f" [{', '.join(bounds)}]" if bounds else ""


def _optional(annotation: Any) -> Any:
    return annotation | None


def _read(path: Path, options: type[Options]) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML without references: a file of a few lines can stand for gigabytes by them."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it has a reference, such as *name; write the value in its place")
            return super().compose_node(parent, index)

    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise yaml.YAMLError(f"it is longer than {LONGEST} bytes")
        values = yaml.load(content.decode(), Loader)
    except OSError as error:
        raise InputError(f"Cannot read the configuration {path}: {error.strerror}.") from error
    except RecursionError as error:
        raise InputError(f"{path} is not valid YAML (it is nested too deep); mend the file.") from error
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path} is not valid YAML ({shorten(error)}); mend the file.") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no options; write lines such as '{next(iter(options.model_fields))}: value'.")
    return {str(name): value for name, value in values.items()}


def _validate(options: type[O], values: dict[str, Any]) -> O:
    for name, value in values.items():
        _check_text(name, value)
    try:
        return options.model_validate(values)
    except ValidationError as error:
        raise InputError(_sentence(options, error)) from error


def _check_text(name: str, value: Any) -> None:
    """Refuse texts that no file name can hold."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and ("\0" in text or text.encode(errors="replace").decode() != text):
            raise InputError(f"The option '{shorten(name, 80)}' holds a character that no name can; correct it.")


def _sentence(options: type[Options], error: ValidationError) -> str:
    # an unknown key is the likeliest cause of a missing one
    first = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")[0]
    name = shorten(".".join(map(str, first["loc"])), 80)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, options.model_fields, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(options.model_fields)}."
        return f"Unknown option '{name}'; {hint}"
    if first["type"] == "missing":
        return f"The option '{name}' is missing: {options.model_fields[name].description}"
    message = f"{first['msg'][0].lower()}{first['msg'][1:]}"
    return f"The option '{name}' is {SHORT.repr(first['input'])}: {shorten(message)}."
