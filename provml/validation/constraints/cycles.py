"""Finds cycles in a directed graph whose edges, the steps, are either strict or not.

Imports nothing else from provml.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

_SEARCH_BUDGET: Final = 1_000_000
"""The maximum number of steps that the search for shortest cycles examines.

After that many steps, the search yields only one cycle for each remaining strongly connected
component.
"""


class Step(NamedTuple):
    """A step from one node to another, and the fact that implies the step."""

    start: Any
    end: Any
    fact: Any
    strict: bool


@dataclass(slots=True)
class StepGraph:
    """A directed graph of steps. Its nodes can be any hashable objects."""

    nodes: dict[Hashable, int] = field(default_factory=dict)
    steps: list[list[tuple[int, Step]]] = field(default_factory=list)
    strict: list[Step] = field(default_factory=list)

    def add(self, start: Hashable, end: Hashable, fact: Any, *, strict: bool) -> None:
        """Add a step to the graph."""
        arrow = Step(start, end, fact, strict)
        self.steps[self._number_node(start)].append((self._number_node(end), arrow))
        if strict:
            self.strict.append(arrow)

    def _number_node(self, node: Hashable) -> int:
        number = self.nodes.setdefault(node, len(self.steps))
        if number == len(self.steps):
            self.steps.append([])
        return number


def shortest_cycles(arrows: StepGraph) -> Iterator[list[Step]]:
    """Yield enough cycles to cover every strict step that lies on a cycle.

    Each cycle is a shortest cycle through one of its strict steps. Costs one pass over the nodes
    that are reachable from strict steps and, for each cycle, one search of a strongly connected
    component. After `_SEARCH_BUDGET` steps, yields only one cycle per remaining component.
    """
    component = _find_components(arrows, {arrows.nodes[arrow.end] for arrow in arrows.strict})
    reported: set[int] = set()
    looked_at: set[int] = set()
    budget = _SEARCH_BUDGET
    for arrow in arrows.strict:
        start, end = arrows.nodes[arrow.start], arrows.nodes[arrow.end]
        inside = component.get(end)
        if inside is None or component.get(start) != inside or id(arrow) in reported:
            continue
        if budget <= 0 and inside in looked_at:
            continue
        looked_at.add(inside)
        path, steps = _find_shortest_path(arrows, end, start, component, inside)
        budget -= steps
        cycle = [arrow, *path]
        reported.update(map(id, cycle))
        yield cycle


def _find_shortest_path(
    arrows: StepGraph, start: int, end: int, component: dict[int, int], inside: int
) -> tuple[list[Step], int]:
    """Return a shortest path within a component, and the number of steps that were examined."""
    came: dict[int, tuple[int, Step] | None] = {start: None}
    waiting = deque([start])
    steps = 0
    while waiting and end not in came:
        node = waiting.popleft()
        for follower, arrow in arrows.steps[node]:
            steps += 1
            if follower not in came and component.get(follower) == inside:
                came[follower] = (node, arrow)
                waiting.append(follower)
    path: list[Step] = []
    step = came[end]
    while step is not None:
        node, arrow = step
        path.append(arrow)
        step = came[node]
    return path[::-1], steps


def _find_components(arrows: StepGraph, roots: set[int]) -> dict[int, int]:
    """Return the strongly connected component of each node reachable from the roots.

    A component is represented by the number of one of its nodes (Tarjan, 1972).
    """
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
