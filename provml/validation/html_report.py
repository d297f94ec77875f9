"""Formats reports as one self-contained HTML page without scripts.

Imports only `report` from provml.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from provml.validation.report import Evidence, Finding, Report

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; overflow-wrap: anywhere; }
code { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.valid { color: #11703a; } .invalid { color: #b3261e; }
@media (prefers-color-scheme: dark) { .valid { color: #6fd395; } .invalid { color: #ff8a80; } }
article { border-left: 3px solid #b3261e; margin: 1rem 0; padding: .2rem 0 .2rem 1rem; }
article p { margin: .3rem 0; } .place { opacity: .75; font-size: .9em; }
li { margin: .3rem 0; } details { margin-left: 1rem; }
"""

_CONTENT_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def write_html_report(reports: Iterable[Report]) -> str:
    """Format all reports as one HTML page, with the statements that led to each finding."""
    return "\n".join(_render_page(reports))


def _render_page(reports: Iterable[Report]) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT_POLICY}">'
    yield f"<title>Validation of provenance</title><style>{_STYLE}</style></head><body>"
    yield "<h1>Validation of provenance</h1>"
    for report in reports:
        yield f"<section><h2>{escape(report.document)}</h2>"
        count = len(report.findings) + report.further
        if count:
            plural = "" if count == 1 else "s"
            yield f'<p class="invalid">Not valid: {count:,} finding{plural}.</p>'
        else:
            yield '<p class="valid">Valid.</p>'
        for note in report.notes:
            yield f"<p>{escape(note)}</p>"
        for finding in report.findings:
            yield from _render_finding(finding)
        if report.further:
            yield f"<p>Further findings not shown: {report.further:,}.</p>"
        yield "</section>"
    yield "</body></html>"


def _render_finding(finding: Finding) -> Iterator[str]:
    name = escape(finding.name)
    if finding.rule.startswith(("https:", "http:")):
        name = f'<a href="{escape(finding.rule)}">{name}</a>'
    yield f"<article><p><strong>{finding.kind} {name}</strong></p>"
    yield f"<p>{escape(finding.message)}</p>"
    if finding.place():
        yield f'<p class="place">{escape(finding.place())}</p>'
    if finding.evidence:
        yield "<ol>"
        for each in finding.evidence:
            yield from _render_evidence(each)
        yield "</ol>"
    yield "</article>"


def _render_evidence(evidence: Evidence) -> Iterator[str]:
    place = f' <span class="place">{escape(evidence.place())}</span>' if evidence.place() else ""
    yield f"<li><code>{escape(evidence.statement)}</code>{place}"
    if evidence.explanation:
        yield "<details><summary>how this statement led to the finding</summary><ul>"
        yield from (f"<li><code>{escape(line)}</code></li>" for line in evidence.explanation)
        yield "</ul></details>"
    yield "</li>"
