"""Converts a graph to a Graphviz picture that follows the W3C's layout conventions for PROV.

Entities are yellow ellipses, activities are blue boxes and agents are orange houses. Edges point to
the earlier element. A folded group is drawn as a table. Recorded text is escaped, so it can't add
markup to the picture. Small plots are rows of table cells, so they need no image files or fonts.

Imports pydot only when needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from provml.errors import MissingExtraError
from provml.graph.build import networkx, run_graph
from provml.graph.fold import READINGS_PLURAL, find_groups, fold_graph
from provml.graph.label_tables import LabelTable, build_table
from provml.graph.labels import escape_markup, node_texts
from provml.graph.shared_nodes import share_nodes
from provml.graph.sketch import add_sketches
from provml.graph.view import View, apply_view, find_node
from provml.model.mapping import RunMapping
from provml.model.setting_order import SettingOrder, find_given

if TYPE_CHECKING:
    from pydot import Dot

    from provml.graph.build import Graph

_FONT: Final = "Helvetica,Arial,sans-serif"
_GREY: Final = "#5f6368"
_BAR: Final = "#37588a"
_BAR_WIDTH: Final = 2
_PLOT_HEIGHT: Final = 11
_GAP: Final = "&#160;"
_BARE: Final = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"'

_NODE_STYLES: Final[dict[str, dict[str, str]]] = {
    "entity": {"shape": "ellipse", "fillcolor": "#FFFC87", "color": "#808080"},
    "activity": {"shape": "box", "fillcolor": "#9FB1FC", "color": "#0000FF"},
    "agent": {"shape": "house", "fillcolor": "#FED37F", "color": "#808080"},
}
_TABLE_COLORS: Final = {"entity": "#FFFC87", "activity": "#9FB1FC", "agent": "#FED37F"}
_EDGE_STYLES: Final = {
    "used": ("#8B0000", "solid"),
    "wasGeneratedBy": ("#006400", "solid"),
    "wasInformedBy": ("#2540C8", "solid"),
    "wasDerivedFrom": ("#000000", "solid"),
    "wasStartedBy": ("#8B0000", "dashed"),
    "wasAssociatedWith": ("#B06000", "solid"),
    "hadPlan": ("#B06000", "dashed"),
    "wasAttributedTo": ("#B06000", "dotted"),
    "actedOnBehalfOf": ("#B06000", "dotted"),
    "hadMember": ("#6B7075", "dashed"),
    "alternateOf": ("#6B7075", "dotted"),
}
_LABELLED_EDGES: Final = 24
"""A picture with more edges than this has a legend instead of a label on each edge."""
_NARROW: Final = 3
"""A graph is narrow if the layers of its layout have fewer nodes than this, on average."""
_ROW: Final = 3
"""The number of leaves (nodes with one neighbour) in a row, unless there are too many rows."""
_MOST_ROWS: Final = 6
_LISTED_MEMBERS: Final = 4
"""If a run has more results than this, the picture shows their number instead of their edges."""


def build_picture(mappings: Iterable[RunMapping], view: View) -> Graph:
    """Build the graph for a picture of one or more runs. The view selects the part to show.

    Adds sketches to the nodes of series. Nodes of several runs that stand for the same thing are
    one node. Folds similar nodes if all runs are mapped at the ``series`` level of detail.
    """
    graph: Graph = networkx().MultiDiGraph(bundles={})
    fold = True
    for mapping in mappings:
        run_graph(mapping, graph)
        add_sketches(graph, mapping)
        fold = fold and mapping.detail == "series"
    return prepare_picture(graph, view, fold)


def prepare_picture(graph: Graph, view: View, fold: bool) -> Graph:
    """Prepare a graph for drawing: merge nodes that runs share, apply the view, and fold nodes."""
    graph = apply_view(share_nodes(graph), view)
    centre = set() if view.around is None else {find_node(graph, view.around)}
    for key in centre:
        graph.nodes[key]["centre"] = True
    if not fold:
        return graph
    given = [name for node in graph.nodes.values() for name in _given_settings(node)]
    graph = fold_graph(graph, find_groups(graph, centre))
    graph.graph["order"] = SettingOrder(given)
    _withhold_members(graph)
    _withhold_contexts(graph)
    return graph


def _given_settings(node: dict[str, Any]) -> list[str]:
    return find_given(node["label"], node.get("provml:metadata"))


def _withhold_contexts(graph: Graph) -> None:
    """Remove the edges from folded readings to contexts, if the readings have an edge to the run.

    The machine is measured during the whole run, so these edges add no information.
    """
    for key, node in graph.nodes(data=True):
        if node.get("plural") != READINGS_PLURAL or node["place"] not in graph:
            continue
        edges = list(graph.out_edges(key, keys=True))
        if any(goal == node["place"] for _, goal, _ in edges):
            contexts = [e for e in edges if "provml:Context" in graph.nodes[e[1]]["types"]]
            graph.remove_edges_from(contexts)


def _withhold_members(graph: Graph) -> None:
    """Remove the edges from a run's results node to the run's outputs, if there are many outputs.

    Each output keeps its edge to the activity that generated it.
    """
    for key, node in graph.nodes(data=True):
        edges = [
            (key, goal, own, data.get("count", 1))
            for _, goal, own, data in graph.out_edges(key, keys=True, data=True)
            if data["relation"] == "hadMember"
        ]
        if "provml:Results" in node["types"] and len(edges) > _LISTED_MEMBERS:
            node["withheld"] = sum(count for *_, count in edges)
            graph.remove_edges_from([edge[:3] for edge in edges])


def dot_graph(graph: Graph, direction: str | None = None) -> Dot:
    """Convert a graph to the DOT language of Graphviz.

    If the graph contains several runs, each run is a cluster.

    Args:
        graph: a graph from `build_picture` or `build`.
        direction: the direction of the edges, as Graphviz's ``rankdir``. The default is ``RL``
            (earlier nodes on the left), or ``BT`` (earlier nodes on top) for a narrow graph.

    Raises:
        MissingExtraError: pydot is not installed.
    """
    try:
        import pydot
    except ImportError:
        raise MissingExtraError("a picture", "pydot", "graph") from None
    labelled = graph.number_of_edges() <= _LABELLED_EDGES
    dot = pydot.Dot("provenance", graph_type="digraph", charset="UTF-8")
    dot.set_graph_defaults(
        rankdir=direction or _choose_direction(graph),
        fontname=_quote_dot(_FONT),
        fontsize="11",
        nodesep="0.16",
        ranksep="0.32",
        pad="0.2",
        bgcolor="white",
    )
    dot.set_node_defaults(
        fontname=_quote_dot(_FONT), fontsize="10", style="filled", margin=_quote_dot("0.12,0.04")
    )
    dot.set_edge_defaults(
        fontname=_quote_dot(_FONT), fontsize="7", fontcolor=_quote_dot(_GREY), arrowsize="0.6"
    )
    bundles = graph.graph["bundles"]
    clusters: dict[str, Any] = {}
    if len(bundles) > 1:
        for number, (bundle, about) in enumerate(bundles.items()):
            label = f"<{escape_markup(about['experiment'])} {escape_markup(about['run'])}>"
            clusters[bundle] = pydot.Cluster(
                str(number), label=label, color=_quote_dot("#9aa0a6"), style="rounded"
            )
            dot.add_subgraph(clusters[bundle])
    for key, data in graph.nodes(data=True):
        owner = clusters.get(data["bundles"][0]) if len(data["bundles"]) == 1 else None
        (owner or dot).add_node(pydot.Node(_quote_dot(key), **_dot_node(graph, key, data)))
    lengths = _edge_lengths(graph)
    for source, goal, data in graph.edges(data=True):
        edge = _dot_edge(data, labelled)
        if (source, goal) in lengths:
            edge["minlen"] = str(lengths[source, goal])
        dot.add_edge(pydot.Edge(_quote_dot(source), _quote_dot(goal), **edge))
    if not labelled:
        dot.set(
            "label", f"<{_edge_legend({data['relation'] for *_, data in graph.edges(data=True)})}>"
        )
    return dot


def _choose_direction(graph: Graph) -> str:
    """Choose the default direction of the edges: ``BT`` for a narrow graph, else ``RL``."""
    condensed = networkx().condensation(graph)  # a run that overwrites its input creates a cycle
    ranks = 1 + networkx().dag_longest_path_length(condensed)
    return "BT" if len(graph) < _NARROW * ranks else "RL"


def _edge_lengths(graph: Graph) -> dict[tuple[str, str], int]:
    """Choose the lengths of the edges to leaves, so that the leaves of each node form rows."""
    leaves: dict[tuple[str, bool], list[tuple[str, str]]] = {}
    for key in graph:
        neighbours = {*graph.successors(key), *graph.predecessors(key)}
        if len(neighbours) == 1:
            (other,) = neighbours
            earlier = graph.has_edge(other, key)
            edge = (other, key) if earlier else (key, other)
            leaves.setdefault((other, earlier), []).append(edge)
    lengths: dict[tuple[str, str], int] = {}
    for edges in leaves.values():
        rows = min(_MOST_ROWS, -(-len(edges) // _ROW))
        lengths |= {edge: 1 + number % rows for number, edge in enumerate(edges)}
    return lengths


def _dot_node(graph: Graph, key: str, data: dict[str, Any]) -> dict[str, Any]:
    table = build_table(graph, data)
    tooltip = {"tooltip": _quote_dot(data["name"])}
    if table is not None:
        label = f"<{_table_markup(table, _TABLE_COLORS[data['kind']])}>"
        return {"shape": "plain", "style": _quote_dot(""), "label": label, **tooltip}
    title, lines = node_texts(graph, key, data)
    cells = [f"<B>{'<BR/>'.join(map(escape_markup, title))}</B>"]
    course = data.get("sketch")
    if course and len(course) > 1:
        cells.append(_bar_plot(course))
    cells += [_small_text(line) for line in lines]
    rows = "".join(f"<TR><TD>{cell}</TD></TR>" for cell in cells)
    label = f'<TABLE BORDER="0" CELLSPACING="1" CELLPADDING="0">{rows}</TABLE>'
    style = {name: _quote_dot(value) for name, value in _NODE_STYLES[data["kind"]].items()}
    if "centre" in data:
        style |= {"penwidth": "3", "color": "black"}
    return {**style, "label": f"<{label}>", **tooltip}


def _dot_edge(data: dict[str, Any], labelled: bool) -> dict[str, Any]:
    relation, count = data["relation"], data.get("count", 1)
    text = relation if count == 1 else f"{relation} ×{count:,}"
    color, style = _EDGE_STYLES.get(relation, ("#000000", "dashed"))
    edge: dict[str, Any] = {
        "color": _quote_dot(color),
        "style": style,
        "edgetooltip": _quote_dot(text),
    }
    return {**edge, "label": _quote_dot(f"  {text}  ")} if labelled else edge


def _edge_legend(relations: set[str]) -> str:
    """Build the markup of a legend, which shows each relation in the colour of its edges."""
    lines = {"solid": "──", "dashed": "╌╌", "dotted": "┈┈"}
    entries = []
    for relation, (color, style) in _EDGE_STYLES.items():
        if relation in relations:
            text = f"{lines[style]}▶ {relation}"
            entries.append(f"<TD>{_small_text(text, 9, color)}</TD>")
    return f'<TABLE BORDER="0" CELLSPACING="6"><TR>{"".join(entries)}</TR></TABLE>'


def _table_markup(table: LabelTable, color: str) -> str:
    columns = len(table.rows[0]) if table.rows else 1
    # add space, because the font of the viewer may be wider than the font that Graphviz measured
    titles = (f"{_GAP * 2}{escape_markup(line)}{_GAP * 2}" for line in table.title)
    title = f"<B>{'<BR/>'.join(titles)}</B>"
    rows = [f'<TR><TD COLSPAN="{columns}" CELLPADDING="4">{title}</TD></TR>']
    if table.heads:
        heads = (f"<TD>{_small_text(head, 7, _GREY)}</TD>" for head in table.heads)
        rows.append(f"<TR>{''.join(heads)}</TR>")
    cells = [f"<TR>{''.join(map(_table_cell, row, table.align))}</TR>" for row in table.rows]
    if table.left_out:
        left_out = f"{table.left_out:,} more"
        more = f'<TR><TD COLSPAN="{columns}">{_small_text(f"… {left_out} …")}</TD></TR>'
        cells.insert(len(cells) if table.ends else len(cells) // 2, more)
    return (
        f'<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1" STYLE="ROUNDED" '
        f'COLOR="#808080" BGCOLOR="{color}">{"".join(rows + cells)}</TABLE>'
    )


def _table_cell(value: Any, align: str) -> str:
    if isinstance(value, tuple):
        return f'<TD ALIGN="{align}" CELLPADDING="1">{_bar_plot(value)}</TD>'
    if isinstance(value, list):
        lines = "".join(f'{_GAP}{escape_markup(line)}{_GAP}<BR ALIGN="LEFT"/>' for line in value)
        return f'<TD ALIGN="{align}"><FONT POINT-SIZE="8">{lines}</FONT></TD>'
    content = f'<FONT POINT-SIZE="8">{_GAP}{escape_markup(value)}{_GAP}</FONT>' if value else ""
    return f'<TD ALIGN="{align}">{content}</TD>'


def _small_text(text: str, size: int = 8, color: str = "black") -> str:
    if not text:  # Graphviz reports an error for an empty element
        return ""
    return f'<FONT POINT-SIZE="{size}" COLOR="{color}">{escape_markup(text)}</FONT>'


def _bar_plot(course: tuple[float | None, ...]) -> str:
    """Build the markup of a bar plot, scaled to the range of the numbers. None becomes a gap."""
    known = [number for number in course if number is not None]
    if not known:
        return ""
    low, span = (
        min(known),
        max(known) / 2 - min(known) / 2,
    )  # halve both numbers, because their difference may overflow
    bars = []
    for number in course:
        part = 0.0 if number is None else ((number / 2 - low / 2) / span if span else 0.5)
        height = 0 if number is None else 1 + round(part * (_PLOT_HEIGHT - 1))
        bars.append(_bar(height))
    return f"<TABLE {_BARE}><TR>{''.join(bars)}</TR></TABLE>"


def _bar(height: int) -> str:
    """Build the markup of one bar: an empty cell above a coloured cell."""
    size = f'FIXEDSIZE="TRUE" WIDTH="{_BAR_WIDTH}"'
    cells = []
    if height < _PLOT_HEIGHT:
        cells.append(f'<TR><TD {size} HEIGHT="{_PLOT_HEIGHT - height}"></TD></TR>')
    if height:
        cells.append(f'<TR><TD {size} HEIGHT="{height}" BGCOLOR="{_BAR}"></TD></TR>')
    return f"<TD><TABLE {_BARE}>{''.join(cells)}</TABLE></TD>"


def _quote_dot(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
