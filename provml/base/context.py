"""Contexts: the phase of a run that a record belongs to (training, validation, the user's own).

Imports only `errors`.
"""

from __future__ import annotations

from typing import ClassVar, Final

from provml.errors import InvalidArgumentError

MAX_NAME_LENGTH: Final = 4096


def validate_name(value: object, what: str) -> str:
    """The name as a plain ``str``; any Unicode text up to 4,096 characters is legal, "" too.

    Raises:
        InvalidArgumentError: not a ``str``, too long, or holding a lone surrogate
            (which no UTF-8 document can carry).
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{what} must be a str, not {type(value).__name__}: {value!r}")
    if len(value) > MAX_NAME_LENGTH:
        raise InvalidArgumentError(
            f"{what} has {len(value):,} characters, at most {MAX_NAME_LENGTH:,} are allowed: "
            f"{value[:40]!r}..."
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgumentError(
                f"{what} holds a lone surrogate, which is not Unicode text: {value!r}"
            ) from None
    return str.__str__(value)  # str() of an Enum that is a str gives another text


class Context:
    """A phase of a run; equal names under equal parents are the same object.

    ``Context.TRAINING``, ``Context.VALIDATION`` and ``Context.EVALUATION`` are there from the
    start; ``Context("warm-up", parent=Context.TRAINING)`` makes one's own. Verbs also take a
    plain ``str``, which stands for a context of that name without a parent.
    """

    __slots__ = ("name", "parent", "path")
    _known: ClassVar[dict[tuple[str, ...], Context]] = {}

    TRAINING: ClassVar[Context]
    VALIDATION: ClassVar[Context]
    EVALUATION: ClassVar[Context]

    name: str
    parent: Context | None
    path: tuple[str, ...]

    def __new__(cls, name: str, parent: Context | None = None) -> Context:
        """Raise InvalidArgumentError for a name that is no Unicode text."""
        if parent is not None and not isinstance(parent, Context):
            raise InvalidArgumentError(f"a context's parent must be a Context: {parent!r}")
        own = validate_name(name, "a context's name")
        path = (*parent.path, own) if parent is not None else (own,)
        known = cls._known.get(path)
        if known is not None:
            return known
        self = super().__new__(cls)
        object.__setattr__(self, "name", own)
        object.__setattr__(self, "parent", parent)
        object.__setattr__(self, "path", path)
        return cls._known.setdefault(path, self)

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"a Context can't be changed: {attribute}")

    def __reduce__(self) -> tuple[type[Context], tuple[str, Context | None]]:
        return Context, (self.name, self.parent)

    def __repr__(self) -> str:
        if self.parent is None:
            return f"Context({self.name!r})"
        return f"Context({self.name!r}, parent={self.parent!r})"

    def __str__(self) -> str:
        return "/".join(self.path)


Context.TRAINING = Context("training")
Context.VALIDATION = Context("validation")
Context.EVALUATION = Context("evaluation")


def context_path(context: Context | str | None) -> tuple[str, ...] | None:
    """The names from the outermost context down to this one; None where there is none."""
    if context is None:
        return None
    if isinstance(context, Context):
        return context.path
    if isinstance(context, str):
        return Context(context).path
    raise InvalidArgumentError(
        f"a context must be a provml.Context, a str or None, "
        f"not {type(context).__name__}: {context!r}"
    )


def context_from_path(path: tuple[str, ...] | None) -> Context | None:
    """The context of a path; None for None."""
    context: Context | None = None
    for name in path or ():
        context = Context(name, context)
    return context


_GROUPS: Final = {
    "train": Context.TRAINING,
    "training": Context.TRAINING,
    "val": Context.VALIDATION,
    "validation": Context.VALIDATION,
    "eval": Context.EVALUATION,
    "evaluation": Context.EVALUATION,
}


def group_path(group: Context | str) -> tuple[str, ...]:
    """The context that a group of metrics stands for: ``train`` for training, and so on.

    Raises InvalidArgumentError where the group has no name that is Unicode text.
    """
    path = context_path(_GROUPS.get(group, group) if isinstance(group, str) else group)
    if path is None:
        raise InvalidArgumentError("a group must have a name: 'train', 'eval' or one of your own")
    return path
