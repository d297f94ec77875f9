"""Translates the conditions of ``provml runs --where`` to SQL. The syntax is a subset of Python.

    params.lr < 0.01 and metrics.accuracy.validation.max > 0.95
    params["optimizer.lr"] in (0.1, 0.01) and "ablation" not in tags.note
    status == "finished" and started >= "2026-03-01" and duration_s > 60
    parent == "20260301T120000-abcdefgh" or children > 0
    reading_summaries["system.cpu_percent.mean"] > 80
    metrics["loss/train"]["training", "warm-up"].min < 0.1

A metric has the fields ``last`` (the default), ``min``, ``max`` and ``count``. If a condition
names no context, the metric covers all contexts; ``[None]`` selects the samples that were logged
without a context. If a run lacks a value, comparisons with that value are unknown, as with NULL in
SQL. ``== None`` selects the runs that lack the value.

A condition is parsed with `ast` and never executed. Its names and values are passed to SQL as
parameters. Imports only `base`, `errors` and `model.names` from provml.
"""

from __future__ import annotations

import ast
import io
import time
import tokenize
import warnings
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NoReturn

from provml.base.clock import to_time_ns
from provml.base.context import standard_path
from provml.errors import QueryError
from provml.model.names import encoded_path

_LONGEST: Final = 10_000
_MOST_COLUMNS: Final = 60
_FIELDS: Final = ("last", "min", "max", "count")
_SETTINGS: Final = {"params": "param", "tags": "tag", "reading_summaries": "reading_summary"}
"""The kind of row in the table ``params`` for each collection that this table contains."""
_COLLECTIONS: Final = (*_SETTINGS, "metrics")
_TEXTS: Final = (
    "id",
    "experiment",
    "project",
    "owner",
    "parent",
    "status",
    "reason",
    "exception",
    "script",
    "command",
    "git_commit",
    "version",
)
_NUMBERS: Final = ("duration_s", "sample_count", "dropped_samples", "dropped_events", "damaged")
_CHILDREN: Final = "(SELECT count(*) FROM runs c WHERE c.parent_run = r.run)"
_TIMES: Final = ("started", "ended")
_OPERATORS: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "=",
    ast.IsNot: "<>",
}
_HINT: Final = 'names with special characters need quotes, as in params["learning-rate"]'


@dataclass(frozen=True, slots=True)
class Sql:
    """A fragment of SQL, and the values of its parameters in order."""

    text: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class _Value:
    """A value in a condition, as SQL for a number, as SQL for text, or both.

    Attributes:
        number: the SQL for the value as a number; None if the value can't be a number.
        text: the SQL for the value as text; None if the value can't be text.
        is_time: whether the number is a time in nanoseconds.
        is_null: whether the value is None.
        truth: the value if it is True or False, else None.
    """

    number: Sql | None
    text: Sql | None
    is_time: bool = False
    is_null: bool = False
    truth: bool | None = None


@dataclass(frozen=True, slots=True)
class RecordedName:
    """A name in an expression: the name of a parameter, tag, reading summary or metric.

    Attributes:
        kinds: the kinds of value that the name may refer to: ``param``, ``tag``,
            ``reading_summary`` or ``metric``. The kind that the expression states comes first.
        name: the name as it was logged.
        contexts: two encoded paths of a metric's context: the path as given, and the path in its
            standard form. Empty for the samples without a context; None for all contexts.
        field: the field of a metric, such as ``last`` or ``min``.
    """

    kinds: tuple[str, ...]
    name: str
    contexts: tuple[str, ...] | None = None
    field: str = "last"


def _is_number(value: object) -> bool:
    """Return whether Python can convert a value to a float."""
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def compile_condition(expression: str) -> Sql:
    """Translate a condition to SQL that filters the table ``runs``, under the alias ``r``.

    Raises QueryError if the expression is not a valid condition. The message includes the position.
    """
    compiler = _Compiler(expression, names_values=True)
    condition = compiler.condition(_parse_expression(expression))
    if not compiler.columns:
        return condition
    # compute each value only once, even if the condition contains it several times
    values = ", ".join(f"{value.text} AS {name}" for value, name in compiler.columns.items())
    params = tuple(param for value in compiler.columns for param in value.params)
    return Sql(
        f"r.run IN (SELECT r.run FROM (SELECT r.*, {values} FROM runs r) r WHERE {condition.text})",
        (*params, *condition.params),
    )


def compile_value(expression: str) -> tuple[Sql, Sql]:
    """Translate a value of ``--sort`` or ``--show`` to SQL for a number and SQL for text.

    The SQL for the number is NULL if the value can't be a number. The SQL for the text is NULL if
    the value can't be text.
    """
    compiler = _Compiler(expression)
    node = _parse_expression(expression)
    found = compiler.value(node)
    null = Sql("NULL")
    return found.number or null, found.text or null


def find_recorded_name(value: str) -> RecordedName | None:
    """Return the recorded name that a value of ``--show`` refers to; None for other values.

    Raises QueryError if the value is not valid.
    """
    return next(iter(find_names(value, is_condition=False)), None)


def find_names(expression: str, *, is_condition: bool) -> list[RecordedName]:
    """Return the names of parameters, tags, reading summaries and metrics in an expression.

    Args:
        expression: a valid condition, or a valid value of ``--sort`` or ``--show``.
        is_condition: whether the expression is a condition.
    """
    compiler = _Compiler(expression)
    node = _parse_expression(expression)
    if is_condition:
        compiler.condition(node)
    else:
        compiler.value(node)
    return list(dict.fromkeys(compiler.names))


def _parse_expression(expression: str) -> ast.expr:
    _check_unicode(expression)
    if len(expression) > _LONGEST:
        raise QueryError(
            f"the condition is {len(expression):,} characters long, but the limit is {_LONGEST:,}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns about escapes in the user's strings
            return ast.parse(expression.strip(), mode="eval").body
    except SyntaxError as error:
        assignment = _find_assignment(expression.strip())
        if assignment is not None:
            raise QueryError(
                f"column {assignment} of {expression!r:.80}: use == to compare values, not ="
            ) from None
        column = error.offset or len(expression.strip()) + 1
        raise QueryError(
            f"{expression!r:.80} is not an expression: {error.msg} at column {column}; {_HINT}"
        ) from None
    except (RecursionError, MemoryError):
        raise QueryError(f"{expression!r:.80} is nested too deeply: simplify it") from None
    except ValueError:
        raise QueryError(f"{expression!r:.80} is not an expression") from None


def _find_assignment(expression: str) -> int | None:
    """Return the column of the first single ``=`` in an expression; None if there is none."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(expression).readline):
            if token.type == tokenize.OP and token.string == "=":
                return token.start[1] + 1
    except (tokenize.TokenError, SyntaxError):
        pass
    return None


def _check_unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError(f"{text!r:.80} contains a lone surrogate: use valid Unicode") from None
    return text


class _Compiler:
    """Translates one expression to SQL.

    Attributes:
        columns: a mapping from the SQL of each value in the expression to the name of its column.
            Empty unless ``names_values`` is True.
        names: the names of the parameters, tags, reading summaries and metrics in the expression.
    """

    def __init__(self, expression: str, names_values: bool = False) -> None:
        self._expression = expression.strip()
        self._names_values = names_values
        self.columns: dict[Sql, str] = {}
        self.names: list[RecordedName] = []

    def _refuse(self, node: ast.expr, what: str) -> NoReturn:
        text = ast.get_source_segment(self._expression, node) or ""
        raise QueryError(f"column {node.col_offset + 1}, {text!r:.80}: {what}")

    # -- conditions ---------------------------------------------------------------------------

    def condition(self, node: ast.expr) -> Sql:
        try:
            return self._condition(node)
        except RecursionError:
            raise QueryError("the condition is nested too deeply: simplify it") from None

    def _condition(self, node: ast.expr) -> Sql:
        if isinstance(node, ast.BoolOp):
            word = " AND " if isinstance(node.op, ast.And) else " OR "
            parts = [self._condition(part) for part in node.values]
            return _join_conditions(word, parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._condition(node.operand)
            return Sql(f"(NOT {inner.text})", inner.params)
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            pairs = zip(operands, node.ops, operands[1:], strict=False)
            return _join_conditions(" AND ", [self._comparison(*pair) for pair in pairs])
        if isinstance(node, (ast.Attribute, ast.Subscript, ast.Name)):
            found = self.value(node)  # a value by itself is a flag, such as params.shuffle
            if found.text is not None:
                return Sql(f"({found.text.text} = 'true')", found.text.params)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return Sql("TRUE" if node.value else "FALSE")
        self._refuse(node, "not a condition: compare it with a value, as in params.lr < 0.01")

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Sql:
        if isinstance(op, (ast.In, ast.NotIn)):
            found = self._membership(left, right)
            return found if isinstance(op, ast.In) else Sql(f"(NOT {found.text})", found.params)
        operator = _OPERATORS[type(op)]
        if isinstance(op, (ast.Is, ast.IsNot)) and not _is_none(right):
            self._refuse(right, "'is' works only with None: use == instead")
        one, other = self.value(left), self.value(right)
        one, other = _name_parent(left, one, other), _name_parent(right, other, one)
        if one.is_null or other.is_null:
            if operator not in ("=", "<>"):
                self._refuse(left if one.is_null else right, "None can't be ordered: use == or !=")
            return _null_test(other if one.is_null else one, missing=operator == "=")
        return self._compared(one, operator, other, right)

    def _compared(self, one: _Value, operator: str, other: _Value, node: ast.expr) -> Sql:
        if one.is_time or other.is_time:
            one, other = self._as_time(one, node), self._as_time(other, node)
        for truth, value_of in ((one.truth, other), (other.truth, one)):
            if truth is not None and value_of.text is not None:
                if operator not in ("=", "<>"):
                    self._refuse(node, "True and False can't be ordered: use == or !=")
                text = "true" if truth else "false"
                return Sql(f"({value_of.text.text} {operator} ?)", (*value_of.text.params, text))
        numbers = texts = None
        if one.number and other.number:
            params = (*one.number.params, *other.number.params)
            numbers = Sql(f"({one.number.text} {operator} {other.number.text})", params)
        if one.text and other.text:
            params = (*one.text.params, *other.text.params)
            texts = Sql(f"({one.text.text} {operator} {other.text.text})", params)
        if numbers and texts:  # compare as text only if one of the values is not a number
            return Sql(f"coalesce({numbers.text}, {texts.text})", (*numbers.params, *texts.params))
        chosen = numbers or texts
        if chosen is None:
            self._refuse(node, "can't compare a number with text")
        recorded = one.number or other.number
        if chosen is texts and recorded is not None and operator not in ("=", "<>"):
            # numbers sort differently as text, so compare only the values that are not numbers
            literal = next((v.text for v in (one, other) if v.number is None), None)
            if literal is not None and any(map(_is_number, literal.params)):
                self._refuse(node, "write numbers without quotes, as in params.lr < 0.01")
            return Sql(
                f"({recorded.text} IS NULL AND {chosen.text})", (*recorded.params, *chosen.params)
            )
        return chosen

    def _as_time(self, found: _Value, node: ast.expr) -> _Value:
        if found.is_time:
            return found
        given = found.text.params[0] if found.text and found.text.params else None
        if isinstance(given, str):
            try:
                moment = datetime.fromisoformat(given)
                return _Value(Sql("?", (to_time_ns(moment.astimezone()),)), None, is_time=True)
            except (ValueError, OverflowError, OSError):
                pass
        self._refuse(node, 'write a time as "2026-03-01" or "2026-03-01T12:00:00+01:00"')

    def _membership(self, left: ast.expr, right: ast.expr) -> Sql:
        if isinstance(right, (ast.Tuple, ast.List, ast.Set)):
            if not right.elts:
                return Sql("FALSE")
            one = self.value(left)
            others = [(own, self.value(own)) for own in right.elts]
            parts = [
                self._compared(_name_parent(left, one, other), "=", other, own)
                for own, other in others
            ]
            return _join_conditions(" OR ", parts)
        if isinstance(right, ast.Name) and right.id in _COLLECTIONS:
            name = self._literal_text(left)
            table = "series" if right.id == "metrics" else "params"
            kinds = ("metric",) if right.id == "metrics" else _setting_kinds(right.id, name)
            named = f"x.run = r.run AND {_among(kinds)} AND x.name = ?"
            return Sql(f"EXISTS (SELECT 1 FROM {table} x WHERE {named})", (*kinds, name))
        found = self.value(right)
        if found.text is None:
            self._refuse(right, f"after 'in', write a list, text, {' or '.join(_COLLECTIONS)}")
        wanted = self._literal_text(left)
        return Sql(f"contains({found.text.text}, ?)", (*found.text.params, wanted))

    def _literal_text(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return _check_unicode(node.value)
        self._refuse(node, "write text in quotes here")

    # -- values -------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> _Value:
        negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        literal = node.operand if isinstance(node, ast.UnaryOp) and negative else node
        if isinstance(literal, ast.Constant):
            return self._constant(literal, negative)
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            return self._recorded(node)
        if isinstance(node, ast.BinOp):
            self._refuse(node, f"conditions can't contain arithmetic; {_HINT}")
        self._refuse(node, "not a value: write a number, text in quotes or a name")

    def _constant(self, node: ast.Constant, negative: bool) -> _Value:
        own = node.value
        if isinstance(own, str) and not negative:
            return _Value(None, Sql("?", (_check_unicode(own),)))
        if isinstance(own, bool) and not negative:
            return _Value(None, None, truth=own)
        if isinstance(own, (int, float)):
            try:
                number = float(-own if negative else own)
            except OverflowError:
                self._refuse(node, "the number is too large for a double")
            return _Value(Sql("?::DOUBLE", (number,)), None)
        if own is None and not negative:
            return _Value(None, None, is_null=True)
        self._refuse(node, "not a value: write a number, text in quotes or a name")

    def _recorded(self, node: ast.Name | ast.Attribute | ast.Subscript) -> _Value:
        root, steps = self._path(node)
        if root in _SETTINGS:
            if not steps:
                what = f"{root!r} has no value of its own"
                self._refuse(node, f"{what}: add a name, as in {root}.name")
            name = ".".join([self._one_name(node, keys) for keys, _ in steps])
            kinds = _setting_kinds(root, name)
            self.names.append(RecordedName(kinds, name))
            return self._name_value(node, _setting_value(kinds, name))
        if root == "metrics":
            return self._name_value(node, self._metric(node, steps))
        known = (*_COLLECTIONS, *_TEXTS, *_NUMBERS, *_TIMES, "git_dirty", "children")
        if root not in known:
            names = ", ".join(known)
            self._refuse(node, f"unknown name {root!r}: put text in quotes, or use one of {names}")
        if steps:
            self._refuse(node, f"{root!r} has no fields: write only {root}")
        if root in _TEXTS:
            return _Value(None, Sql(f"r.{root}"))
        if root == "duration_s":  # a run in progress lasts until now
            now = "CASE r.status WHEN 'running' THEN (?::BIGINT - r.started_ns) / 1e9 END"
            return _Value(Sql(f"coalesce(r.duration_s, {now})", (time.time_ns(),)), None)
        if root in _NUMBERS:
            return _Value(Sql(f"r.{root}"), None)
        if root == "children":
            return _Value(Sql(_CHILDREN), None)
        if root in _TIMES:
            return _Value(Sql(f"r.{root}_ns"), None, is_time=True)
        return _Value(None, Sql("CASE r.git_dirty WHEN TRUE THEN 'true' ELSE 'false' END"))

    def _name_value(self, node: ast.expr, value: _Value) -> _Value:
        """Replace a value's SQL with the name of the column that contains the value."""
        if not self._names_values:
            return value
        number, text = (
            None
            if sql is None
            else Sql(f"r.{self.columns.setdefault(sql, f'value_{len(self.columns)}')}")
            for sql in (value.number, value.text)
        )
        if len(self.columns) > _MOST_COLUMNS:
            self._refuse(
                node, "the condition names too many parameters, tags and metrics: use fewer names"
            )
        return replace(value, number=number, text=text)

    def _path(self, node: ast.expr) -> tuple[str, list[tuple[tuple[Any, ...], bool]]]:
        """Split a value such as ``metrics.loss["a", "b"].min`` into its first name and its steps.

        Each step is a tuple of keys and a flag: True for a step after a dot, False for brackets.
        """
        steps: list[tuple[tuple[Any, ...], bool]] = []
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Attribute):
                steps.append(((node.attr,), True))
                node = node.value
            elif isinstance(node, ast.Subscript):
                steps.append((self._keys(node.slice), False))
                node = node.value
            else:
                self._refuse(node, "not a value: write a number, text in quotes or a name")
        return node.id, steps[::-1]

    def _keys(self, node: ast.expr) -> tuple[Any, ...]:
        nodes = node.elts if isinstance(node, ast.Tuple) else [node]
        keys: list[Any] = []
        for own in nodes:
            if not isinstance(own, ast.Constant) or not isinstance(own.value, str | None):
                self._refuse(own, "write a name in quotes here")
            keys.append(own.value if own.value is None else _check_unicode(own.value))
        return tuple(keys)

    def _one_name(self, node: ast.expr, keys: tuple[Any, ...]) -> str:
        if len(keys) != 1 or not isinstance(keys[0], str):
            self._refuse(node, "write only one name in quotes here")
        return keys[0]

    def _metric(self, node: ast.expr, steps: list[tuple[tuple[Any, ...], bool]]) -> _Value:
        if not steps:
            self._refuse(node, "add a name, as in metrics.loss.training.min")
        field = "last"
        own, *rest = steps
        if rest and rest[-1][1] and rest[-1][0][0] in _FIELDS:
            field = rest.pop()[0][0]
        if len(rest) > 1:
            what = f"a metric's name can be followed by a context and one of {', '.join(_FIELDS)}"
            self._refuse(node, f'{what}; write a name with dots in quotes: metrics["a.b"]')
        name = self._one_name(node, own[0])
        where, params = "x.run = r.run AND x.kind = 'metric' AND x.name = ?", [name]
        contexts: tuple[str, ...] | None = None
        if rest:
            keys = rest[0][0]
            if None in keys:
                if len(keys) > 1:
                    self._refuse(node, "None can't be combined with the name of a context")
                contexts = ()
                where += " AND x.context IS NULL"
            else:
                given, standard = encoded_path(keys), encoded_path(standard_path(keys))
                contexts = (given, standard)
                if given == standard:
                    where += " AND x.context = ?"
                    params.append(given)
                else:  # early versions of provml recorded the context as given
                    where += (
                        " AND x.context = CASE WHEN EXISTS (SELECT 1 FROM series y WHERE"
                        " y.run = r.run AND y.kind = 'metric' AND y.name = ? AND y.context = ?)"
                        " THEN ? ELSE ? END"
                    )
                    params += [params[0], given, given, standard]
        self.names.append(RecordedName(("metric",), name, contexts, field))
        picked = {"min": "min(x.min)", "max": "max(x.max)", "count": "sum(x.count)"}
        number = picked.get(field, f"max_by({_no_nan('x.last')}, x.last_ns)")
        text = Sql(f"(SELECT {number} FROM series x WHERE {where})", tuple(params))
        if field != "last":
            return _Value(text, None)
        last = f"(SELECT max_by(x.last_text, x.last_ns) FROM series x WHERE {where})"
        return _Value(text, Sql(last, tuple(params)))


def _setting_kinds(collection: str, name: str) -> tuple[str, ...]:
    """Return the kinds of rows in the table ``params`` that a name in a collection can refer to.

    Early versions of provml recorded reading summaries as parameters, so names in ``params`` can
    still refer to reading summaries. If a parameter has the same name, the parameter is used.
    """
    kind = _SETTINGS[collection]
    return (kind, "reading_summary") if kind == "param" and name.startswith("system.") else (kind,)


def _among(kinds: tuple[str, ...]) -> str:
    return f"x.kind IN ({', '.join('?' * len(kinds))})"


def _setting_value(kinds: tuple[str, ...], name: str) -> _Value:
    of_run = f"FROM params x WHERE x.run = r.run AND {_among(kinds)} AND x.name = ? AND x.is_last"
    params = (*kinds, name)  # 'param' sorts before 'reading_summary', so min_by prefers it
    return _Value(
        Sql(f"(SELECT min_by({_no_nan('x.number')}, x.kind) {of_run})", params),
        Sql(f"(SELECT min_by(x.text, x.kind) {of_run} AND x.type <> 'null')", params),
    )


def _no_nan(number: str) -> str:
    """Return SQL that replaces NaN with NULL, because DuckDB sorts NaN above all numbers."""
    return f"nullif({number}, 'NaN'::DOUBLE)"


def _null_test(found: _Value, missing: bool) -> Sql:
    own = found.text or found.number
    if own is None:
        return Sql("FALSE" if missing else "TRUE")
    return Sql(f"({own.text} IS {'' if missing else 'NOT '}NULL)", own.params)


def _join_conditions(word: str, parts: list[Sql]) -> Sql:
    params = tuple(param for part in parts for param in part.params)
    return Sql(f"({word.join(part.text for part in parts)})", params)


def _name_parent(node: ast.expr, value: _Value, other: _Value) -> _Value:
    """Use the parent's full name in place of its id if the parent is compared with a full name.

    Returns any other value unchanged.
    """
    if not isinstance(node, ast.Name) or node.id != "parent" or other.text is None:
        return value
    is_full = any("/" in str(param) for param in other.text.params)
    return replace(value, text=Sql("r.parent_run")) if is_full else value


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
