"""Contexts: the phases of a run, such as training and validation.

Each record belongs to a context or to the run itself.

Imports only `errors` from provml.
"""

from __future__ import annotations

from typing import ClassVar, Final

from provml.errors import InvalidArgumentError

MAX_NAME_LENGTH: Final = 4096


def validate_name(value: object, what: str) -> str:
    """Check a name, and return it as a plain ``str``.

    Any Unicode text of at most 4,096 characters is valid.

    Args:
        value: the name to check.
        what: a description of the name, such as ``a context's name``, for the error message.

    Raises:
        InvalidArgumentError: the name is not a ``str``, is too long, or contains a lone surrogate,
            which UTF-8 can't encode.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{what} must be a str, not {type(value).__name__}: {value!r}")
    if len(value) > MAX_NAME_LENGTH:
        raise InvalidArgumentError(
            f"{what} is {len(value):,} characters long, but the limit is {MAX_NAME_LENGTH:,}: "
            f"{value[:40]!r}..."
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgumentError(
                f"{what} contains a lone surrogate, which is not valid Unicode: {value!r}"
            ) from None
    return str.__str__(value)  # str() of a str Enum member returns different text


ContextPath = tuple[str, ...] | None
"""The names from the outermost context to the innermost; None means the run itself."""


class Context:
    """A phase of a run, such as training. The same name and parent always give the same object.

    ``Context.TRAINING``, ``Context.VALIDATION`` and ``Context.EVALUATION`` always exist. Create
    your own with a name and, optionally, a parent: ``Context("warm-up", parent=Context.TRAINING)``.

    Wherever provml accepts a context, you can pass a ``str`` instead. The ``str`` stands for the
    context that has this name and no parent. In every method, query and command, these words mean
    the three standard contexts:

    - ``train``, ``training``: `Context.TRAINING`
    - ``val``, ``valid``, ``validation``: `Context.VALIDATION`
    - ``eval``, ``evaluation``, ``test``, ``testing``: `Context.EVALUATION`

    If you pass one of these words, provml also records it as an alias of the context.
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
        """Return the context with this name and parent; create it if it does not exist yet.

        Raises InvalidArgumentError if the name is not a valid name (see `validate_name`), or the
        parent is not a `Context`.
        """
        if parent is not None and not isinstance(parent, Context):
            raise InvalidArgumentError(f"a context's parent must be a Context, not {parent!r}")
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
        raise AttributeError(f"a Context can't be changed: {attribute!r} is read-only")

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


_BY_WORD: Final = {
    "train": Context.TRAINING,
    "training": Context.TRAINING,
    "val": Context.VALIDATION,
    "valid": Context.VALIDATION,
    "validation": Context.VALIDATION,
    "eval": Context.EVALUATION,
    "evaluation": Context.EVALUATION,
    "test": Context.EVALUATION,
    "testing": Context.EVALUATION,
}


def context_from_word(word: str) -> Context | None:
    """Return the standard context that a word such as ``val`` means; None for any other word."""
    return _BY_WORD.get(word)


def given_path(context: Context | str | None) -> ContextPath:
    """Return a context's path as the caller named it: ``("train",)`` for ``"train"``.

    Returns None for None, which means the run itself.

    Raises:
        InvalidArgumentError: the context is neither a `Context`, a ``str`` nor None.
    """
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


def context_path(context: Context | str | None) -> ContextPath:
    """Return the path under which a context is recorded: ``("training",)`` for ``"train"``.

    Raises:
        InvalidArgumentError: the context is neither a `Context`, a ``str`` nor None.
    """
    path = given_path(context)
    return None if path is None else standard_path(path)


def standard_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Replace a word such as ``train`` at the start of a path with the standard context's name."""
    standard = _BY_WORD.get(path[0])
    return path if standard is None else (*standard.path, *path[1:])


def context_alias(context: Context | str | None) -> str | None:
    """Return the caller's word for a standard context, such as ``"val"``.

    Returns None if the word is the context's own name, or if the context is not a standard one.
    """
    path, recorded = given_path(context), context_path(context)
    return None if path is None or recorded is None or path[0] == recorded[0] else path[0]


def matching_paths(context: Context | str | None) -> tuple[ContextPath, ...]:
    """Return the paths that a context in a query can mean, with the best match first.

    Early versions of provml recorded a context named ``train`` under that name, so the path with
    this name comes first. If the run has no such context, ``train`` means `Context.TRAINING`, as it
    does in the methods that record values.
    """
    return tuple(dict.fromkeys((given_path(context), context_path(context))))


def context_from_path(path: tuple[str, ...] | None) -> Context | None:
    """Return the context that a path names; None if the path is None or empty."""
    context: Context | None = None
    for name in path or ():
        context = Context(name, context)
    return context


def group_path(group: Context | str) -> tuple[str, ...]:
    """Return the path of the context that a metric group belongs to.

    Raises:
        InvalidArgumentError: the group is neither a `Context` nor a ``str``.
    """
    path = context_path(group)
    if path is None:
        raise InvalidArgumentError("a group must have a name, such as 'train', 'eval' or 'system'")
    return path
