"""Cycles in a graph of strict and other steps. Imports nothing of provml."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

_MOST_STEPS: Final = 1_000_000
"""So many steps are looked at for the shortest cycles; what is left is told by one cycle each."""


class Arrow(NamedTuple):
    """One step, and the fact that is its reason."""

    start: Any
    end: Any
    fact: Any
    strict: bool


@dataclass(slots=True)
class Arrows:
    """Steps between nodes of any kind."""

    nodes: dict[Hashable, int] = field(default_factory=dict)
    steps: list[list[tuple[int, Arrow]]] = field(default_factory=list)
    strict: list[Arrow] = field(default_factory=list)

    def add(self, start: Hashable, end: Hashable, fact: Any, *, strict: bool) -> None:
        """Add a step."""
        arrow = Arrow(start, end, fact, strict)
        self.steps[self._number(start)].append((self._number(end), arrow))
        if strict:
            self.strict.append(arrow)

    def _number(self, node: Hashable) -> int:
        number = self.nodes.setdefault(node, len(self.steps))
        if number == len(self.steps):
            self.steps.append([])
        return number


def shortest_cycles(arrows: Arrows) -> Iterator[list[Arrow]]:
    """Cycles that hold every strict step that lies on one, each a shortest one of some such step.

    Costs a pass over what can be reached from strict steps, and for each cycle a search of its
    component, up to a limit on all of them together; then one cycle a component.
    """
    component = _components(arrows, {arrows.nodes[arrow.end] for arrow in arrows.strict})
    told: set[int] = set()
    looked_at: set[int] = set()
    budget = _MOST_STEPS
    for arrow in arrows.strict:
        start, end = arrows.nodes[arrow.start], arrows.nodes[arrow.end]
        inside = component.get(end)
        if inside is None or component.get(start) != inside or id(arrow) in told:
            continue
        if budget <= 0 and inside in looked_at:
            continue
        looked_at.add(inside)
        path, steps = _shortest_path(arrows, end, start, component, inside)
        budget -= steps
        cycle = [arrow, *path]
        told.update(map(id, cycle))
        yield cycle


def _shortest_path(
    arrows: Arrows, start: int, end: int, component: dict[int, int], inside: int
) -> tuple[list[Arrow], int]:
    """The steps of a shortest path within a component, and how many were looked at."""
    came: dict[int, tuple[int, Arrow] | None] = {start: None}
    waiting = deque([start])
    steps = 0
    while waiting and end not in came:
        node = waiting.popleft()
        for follower, arrow in arrows.steps[node]:
            steps += 1
            if follower not in came and component.get(follower) == inside:
                came[follower] = (node, arrow)
                waiting.append(follower)
    path: list[Arrow] = []
    step = came[end]
    while step is not None:
        node, arrow = step
        path.append(arrow)
        step = came[node]
    return path[::-1], steps


def _components(arrows: Arrows, roots: set[int]) -> dict[int, int]:
    """The strongly connected component of each node that the roots reach (Tarjan, 1972)."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    component: dict[int, int] = {}
    stack: list[int] = []
    for root in roots:
        if root in order:
            continue
        work = [(root, iter(arrows.steps[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        while work:
            node, followers = work[-1]
            for follower, _ in followers:
                if follower not in order:
                    order[follower] = low[follower] = len(order)
                    stack.append(follower)
                    work.append((follower, iter(arrows.steps[follower])))
                    break
                if follower not in component:
                    low[node] = min(low[node], order[follower])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
                if low[node] == order[node]:
                    while True:
                        member = stack.pop()
                        component[member] = node
                        if member == node:
                            break
    return component
