"""What mkdocs makes from the sources while it builds: the vocabulary, the decisions' index.

Run by mkdocs, see ``mkdocs.yml``. Needs rdflib.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

from provml.cli._program import BUILT_IN, load_built_in

ROOT = Path(__file__).resolve().parent.parent
PROVML = "https://w3id.org/provml/ns#"
_TOPIC = re.compile(r"\A---\ntopic: (.+)\n---\n+# (.+)\n")


def on_startup(**_: Any) -> None:
    """Give mkdocs-click a module that has each command as an attribute."""
    commands = ModuleType("provml_commands")
    commands.__dict__.update({name: load_built_in(name)[1] for name in BUILT_IN})
    sys.modules[commands.__name__] = commands


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace the placeholders of generated parts."""
    for name, build in (("vocabulary", build_vocabulary), ("decisions", build_decisions)):
        placeholder = f"<!-- generated: {name} -->"
        if placeholder in markdown:
            markdown = markdown.replace(placeholder, build())
    return markdown


def build_decisions() -> str:
    """Build the list of decisions by topic, from the pages' heads."""
    topics: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        if path.name == "index.md":
            continue
        match = _TOPIC.match(path.read_text(encoding="utf-8"))
        if match is None:
            raise ValueError(f"{path}: a decision begins with '---', 'topic: ...', '---', '# ...'")
        topics[match[1]].append(f"- [{match[2]}]({path.name})")
    return "\n\n".join(
        "\n".join([f"## {topic}", "", *lines]) for topic, lines in sorted(topics.items())
    )


def build_vocabulary() -> str:
    """Build the tables of classes and properties, from ``schemas/provml.ttl``."""
    from rdflib import OWL, RDF, RDFS, Graph

    graph = Graph().parse(ROOT / "schemas" / "provml.ttl")
    parts = []
    for title, kinds in (
        ("Classes", [OWL.Class]),
        ("Properties", [OWL.DatatypeProperty, OWL.ObjectProperty]),
        ("Datatypes", [RDFS.Datatype]),
    ):
        terms = {term for kind in kinds for term in graph.subjects(RDF.type, kind)}
        own = sorted(str(term) for term in terms if str(term).startswith(PROVML))
        if not own:
            continue
        above = {"Classes": RDFS.subClassOf, "Properties": RDFS.domain}.get(title)
        head = {"Classes": "kind of", "Properties": "of"}.get(title, "")
        lines = [f"## {title}", "", f"| term | {head} | meaning |", "|---|---|---|"]
        for iri in own:
            (subject,) = [term for term in terms if str(term) == iri]
            above_it = graph.objects(subject, above) if above is not None else ()
            broader = sorted(_short(graph, each) for each in above_it)
            comment = " ".join(str(c) for c in graph.objects(subject, RDFS.comment))
            name = iri.removeprefix(PROVML)
            lines.append(f"| `provml:{name}` | {', '.join(broader)} | {_cell(comment)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _short(graph: Any, term: Any) -> str:
    """A term with its prefix; the members of a union one by one."""
    from rdflib import OWL, BNode
    from rdflib.collection import Collection

    if not isinstance(term, BNode):
        return f"`{graph.namespace_manager.normalizeUri(term)}`"
    unions = list(graph.objects(term, OWL.unionOf))
    return ", ".join(_short(graph, m) for union in unions for m in Collection(graph, union))


def _cell(text: str) -> str:
    return re.sub(r"([|<>*_])", r"\\\1", text)
