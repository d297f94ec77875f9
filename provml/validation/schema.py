"""PROV-JSON judged by the JSON Schemas: all of it as PROV-JSON, that of provml as ours too.

Nothing is fetched: the schemas come with the package, and references are resolved among them.
Imports `report`, `model.vocabulary`, `errors`; jsonschema and referencing when it runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from provml.base.schema_files import read_schema
from provml.errors import MissingExtraError
from provml.model.vocabulary import PROVML
from provml.validation.report import Finding

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError
    from referencing._core import Resolver

PROV_JSON: Final = "prov-json.schema.json"
PROVML_JSON: Final = "provml.schema.json"

_SHOWN: Final = 80
_JSON_TYPES: Final = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}


def schema_findings(content: object, schema: str) -> Iterator[Finding]:
    """What a schema finds in a parsed PROV-JSON document.

    Costs about 0.6 ms for each sample that is stated with its step, and 0.4 ms by the schema for
    PROV-JSON of any origin.

    Args:
        schema: `PROV_JSON`, or `PROVML_JSON`, which includes it.

    Raises:
        MissingExtraError: jsonschema is absent.
    """
    for error in _validator(schema).iter_errors(content):
        yield _finding(error)


def holds_provml(content: object) -> bool:
    """Whether a parsed PROV-JSON document, or a bundle in it, declares a prefix of our terms."""
    if not isinstance(content, dict):
        return False
    prefixes = content.get("prefix")
    if isinstance(prefixes, dict) and PROVML in prefixes.values():
        return True
    bundles = content.get("bundle")
    # a bundle has no bundles, so this goes no deeper
    return isinstance(bundles, dict) and any(
        isinstance(bundle, dict)
        and isinstance(bundle.get("prefix"), dict)
        and PROVML in bundle["prefix"].values()
        for bundle in bundles.values()
    )


def load_schema(name: str) -> Any:
    """A schema as the package ships it, parsed."""
    return json.loads(read_schema(name))


@cache
def _validator(name: str) -> Draft202012Validator:
    """A validator of one of the schemas, its references replaced by what they stand for."""
    try:
        from jsonschema import Draft202012Validator
        from referencing import Registry, Resource
    except ImportError:
        raise MissingExtraError("validating by schema", "jsonschema", "validation") from None
    schemas = [load_schema(PROV_JSON), load_schema(PROVML_JSON)]
    registry: Registry[Any] = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas]
    )
    wanted = schemas[name == PROVML_JSON]
    resolver = registry.resolver(wanted["$id"])
    # an empty registry: should a reference be left, it is an error and not a request
    return Draft202012Validator(_inlined(wanted, resolver, {}), registry=Registry())


def _inlined(part: Any, resolver: Resolver[Any], done: dict[int, Any]) -> Any:
    """A schema whose references are the schemas they name: validating takes half the time so.

    Ours do not refer to themselves. What several refer to is one object.
    """
    if isinstance(part, list):
        return [_inlined(member, resolver, done) for member in part]
    if not isinstance(part, dict):
        return part
    if id(part) in done:
        return done[id(part)]
    made: dict[str, Any] = {}
    if "$ref" in part:
        found = resolver.lookup(part["$ref"])
        target = _inlined(found.contents, found.resolver, done)
        if len(part) == 1:
            done[id(part)] = target
            return target
        made["allOf"] = [target]
    for keyword, content in part.items():
        if keyword in ("$ref", "$defs", "$id", "$schema"):
            continue
        own = content if keyword in ("const", "enum") else _inlined(content, resolver, done)
        made[keyword] = made["allOf"] + own if keyword == "allOf" and "allOf" in made else own
    if "$id" in part:
        made["$comment"] = part["$id"]
    done[id(part)] = made
    return made


@cache
def rules() -> dict[str, str]:
    """The IRIs of all rules of the schemas, by their short names."""
    found: dict[str, str] = {}
    for schema in (load_schema(PROV_JSON), load_schema(PROVML_JSON)):
        found |= {anchor: f"{schema['$id']}#{anchor}" for anchor in _anchors(schema)}
    return found


def _anchors(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$anchor"), str):
            yield part["$anchor"]
        for content in part.values():
            yield from _anchors(content)
    elif isinstance(part, list):
        for content in part:
            yield from _anchors(content)


def _finding(error: ValidationError) -> Finding:
    schema = error.schema
    assert isinstance(schema, dict)
    where = "".join(f"/{_escaped(str(part))}" for part in error.absolute_path)
    return Finding("schema", rules()[schema["$anchor"]], f"{schema['title']}: {_met(error)}", where)


def _escaped(part: str) -> str:
    """A part of a JSON pointer (RFC 6901)."""
    return part.replace("~", "~0").replace("/", "~1")


def _met(error: ValidationError) -> str:
    """What was met instead of what the rule says."""
    instance, keyword, wanted = error.instance, error.validator, error.validator_value
    if keyword in ("required", "dependentRequired"):
        asked = wanted
        if keyword == "dependentRequired":
            asked = [name for key, names in wanted.items() if key in instance for name in names]
        missing = [name for name in asked if name not in instance]
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if keyword == "anyOf":
        return "it has none of these"
    if keyword == "additionalProperties":
        known = error.schema["properties"]
        strange = [_shown(name) for name in instance if name not in known]
        return f"it has {', '.join(strange[:5])}" + (" and more" if len(strange) > 5 else "")
    if keyword == "minItems":
        return "the list is empty"
    if keyword == "not" and not wanted:  # what stands under a name that may not be
        return f"this is {_shown(error.absolute_path[-1])}"
    return f"this is {_shown(instance)}"


def _shown(value: Any) -> str:
    """A value in short: text and numbers themselves, of the rest what it is."""
    if value is None or isinstance(value, (str, bool, int, float)):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    return _JSON_TYPES[type(value)]
