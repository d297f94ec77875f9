"""Merges the runs of a lineage into one PROV graph, for the export formats and networkx.

Each run gets its own prefix. If one run used a file that another run made, the graph states that
the file's entities in the two runs are alternates of each other. Files of two runs are considered
the same if their digests are equal.

Imports `contents`, `rows`, `model` and `export`; imports networkx only when needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from provml.base.sinks import Destination, open_sink
from provml.errors import ExportError, MissingExtraError
from provml.export import Format, find_format
from provml.journal.reader import Journal
from provml.lineage.contents import Content
from provml.lineage.rows import RunGraph, content_key, edge_ends, own_type
from provml.model import vocabulary
from provml.model.mapping import RunMapping, run_prefixes
from provml.model.series import Block, RunSeries
from provml.model.statements import Name, Statement

if TYPE_CHECKING:
    import networkx as nx


class LineageMapping:
    """The PROV statements of a lineage. Exporters accept this object in place of a `RunMapping`."""

    detail = "series"
    samples = 0

    def __init__(
        self, contents: Mapping[str, Content], folders: Mapping[str, Path], depth: int | None
    ) -> None:
        """Read the runs and collect their statements.

        Args:
            contents: the content items that the lineage reached, keyed by `Content.key`.
            folders: the folders of the runs that made or used the content, keyed by run.
            depth: the maximum number of steps that were followed; None means no limit.
        """
        self._contents, self._depth = contents, depth
        self._prefixes: dict[str, str] = {}
        self._singles: dict[tuple[str, str], Statement] = {}
        self._relations: list[Statement] = []
        places: dict[str, list[tuple[str, str]]] = {}
        for number, (run, folder) in enumerate(folders.items(), 1):
            journal = Journal(folder)
            self.journal = journal
            self._add(run, number, journal, places)
        for _, names in sorted(places.items()):
            made = [name for role, name in names if role == "out"]
            for role, name in names:
                if role == "in" and made:
                    arguments: dict[str, Any] = {
                        "prov:alternate1": Name(name),
                        "prov:alternate2": Name(made[0]),
                    }
                    self._relations.append(Statement("alternateOf", None, arguments))

    def _add(
        self,
        run: str,
        number: int,
        journal: Journal,
        places: dict[str, list[tuple[str, str]]],
    ) -> None:
        """Add a run's nodes between content items of the lineage, and the agents of these nodes."""
        statements = RunMapping(journal, "series").statements()
        graph = RunGraph([single for made in statements for single in made.singly()])
        keys = {name: content_key(run, graph.nodes[name]) for name in graph.contents}
        own = [name for name, key in keys.items() if key in self._contents]
        up = [name for name in own if self._contents[keys[name]].up is not None]
        down = [name for name in own if self._contents[keys[name]].down is not None]
        kept = set(own)
        if up:
            kept |= graph.reached(up, up=True)
        if down:
            kept |= graph.reached(down, up=False)
        followed = set(self._contents)
        kept = {n for n in kept if n not in keys or keys[n] in followed or self._depth is None}
        agents = [e for e in graph.edges if e.kind in ("wasAssociatedWith", "wasAttributedTo")]
        kept |= {edge_ends(e)[1] for e in agents if edge_ends(e)[0] in kept}
        own_prefixes = run_prefixes(journal)
        bases = {iri: prefix for prefix, iri in self._prefixes.items() if prefix.startswith("base")}
        base = bases.get(own_prefixes["base"], f"base{len(bases) + 1}")
        renamed = {"run": f"run{number}", "base": base}
        if self._prefixes.get("owner", own_prefixes.get("owner")) != own_prefixes.get("owner"):
            renamed["owner"] = f"owner{number}"
        for prefix, iri in own_prefixes.items():
            self._prefixes[renamed.get(prefix, prefix)] = iri
        for name in graph.nodes:
            if name in kept:
                statement = _rename_statement(graph.nodes[name], renamed)
                self._singles[statement.kind, str(statement.id)] = statement
        for edge in graph.edges:
            if all(end in kept for end in edge_ends(edge)):
                self._relations.append(_rename_statement(edge, renamed, kept))
        roles = {edge_ends(e)[0]: "out" for e in graph.edges if e.kind == "wasGeneratedBy"}
        for name in own:
            new = str(_rename_prefix(Name(name), renamed))
            places.setdefault(keys[name], []).append((roles.get(name, "in"), new))

    def prefixes(self) -> dict[str, str]:
        """Return the prefixes that the statements use, with their IRIs."""
        return self._prefixes

    def singles(self) -> Iterator[Statement]:
        """Yield all statements: the elements, then the relations."""
        yield from self._singles.values()
        yield from self._relations

    def statements(self) -> Iterator[Statement]:
        """Yield all statements."""
        return self.singles()

    def tables(self, kinds: Collection[str] = vocabulary.KINDS) -> Iterator[Statement]:
        """Return an empty iterator, because a lineage has no tables of samples."""
        return iter(())

    def sample_blocks(self) -> Iterator[tuple[Name, Name, Block]]:
        """Return an empty iterator, because a lineage has no samples."""
        return iter(())

    @property
    def series(self) -> NoSeries:
        """Return an empty table of series."""
        return NoSeries()


class NoSeries:
    """A `SeriesTable` that contains no series."""

    all: Final[tuple[RunSeries, ...]] = ()

    def blocks(self) -> Iterator[Block]:
        """Return an empty iterator."""
        return iter(())


def _rename_statement(
    statement: Statement, prefixes: dict[str, str], kept: Collection[str] | None = None
) -> Statement:
    """Return a copy of a statement with renamed prefixes.

    The copy lacks the arguments that refer to nodes outside `kept`, unless `kept` is None.
    """
    arguments = {
        key: _rename_prefix(value, prefixes) if isinstance(value, Name) else value
        for key, value in statement.arguments.items()
        if kept is None or not isinstance(value, Name) or value in kept
    }
    own = _rename_prefix(statement.id, prefixes) if isinstance(statement.id, Name) else None
    return Statement(statement.kind, own, arguments, statement.attributes)


def _rename_prefix(name: Name, prefixes: dict[str, str]) -> Name:
    prefix, colon, own = name.partition(":")
    return Name(f"{prefixes.get(prefix, prefix)}{colon}{own}")


def export_lineage(
    contents: Mapping[str, Content],
    folders: Mapping[str, Path],
    depth: int | None,
    format: str | Format,
    target: Destination,
) -> None:
    """Export a lineage to a file. Raises the same errors as `provml.export.export`."""
    chosen = find_format(format)
    if chosen.samples_only:
        raise ExportError(
            f"{chosen.name} exports the samples of a single run, but a lineage has no samples: "
            "choose another format"
        )
    mapping = LineageMapping(contents, folders, depth)
    with open_sink(target) as sink:
        chosen.write(cast(RunMapping, mapping), sink)


def lineage_graph(
    contents: Mapping[str, Content], folders: Mapping[str, Path], depth: int | None
) -> nx.MultiDiGraph[str]:
    """Build a networkx graph of a lineage.

    Nodes are named by IRI, and edges point from the effect to the cause. Raises MissingExtraError
    if networkx is not installed.
    """
    try:
        import networkx as nx
    except ImportError:
        raise MissingExtraError("a networkx graph", "networkx", "lineage") from None
    mapping = LineageMapping(contents, folders, depth)
    prefixes = mapping.prefixes()

    def iri(name: str) -> str:
        prefix, _, own = name.partition(":")
        return prefixes[prefix] + own

    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    for statement in mapping.singles():
        if statement.id is not None:
            attributes: dict[str, Any] = dict(statement.attributes)
            attributes |= {"kind": statement.kind, "type": own_type(statement)}
            graph.add_node(iri(str(statement.id)), **attributes)
        else:
            source, target = edge_ends(statement)
            graph.add_edge(iri(source), iri(target), key=statement.kind, relation=statement.kind)
    return graph
