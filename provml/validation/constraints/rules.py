"""The rules of PROV-CONSTRAINTS (W3C Recommendation, 2013) as data, under their official numbers.

For each kind of statement, the tables say:

- how to treat missing arguments,
- which facts the statement implies,
- which arguments make it unique,
- which events it orders.

Imports nothing else from provml.
"""

from __future__ import annotations

from typing import Final, NamedTuple

RECOMMENDATION: Final = "https://www.w3.org/TR/prov-constraints/"

DATA_MODEL: Final = "https://www.w3.org/TR/prov-dm/"

ENTITY, ACTIVITY = "entity", "activity"

MANDATORY: Final[dict[str, tuple[int, ...]]] = {
    "wasGeneratedBy": (0,),
    "used": (0,),
    "wasInformedBy": (0, 1),
    "wasStartedBy": (0,),
    "wasEndedBy": (0,),
    "wasInvalidatedBy": (0,),
    "wasDerivedFrom": (0, 1),
    "wasAttributedTo": (0, 1),
    "wasAssociatedWith": (0,),
    "actedOnBehalfOf": (0,),
    "wasInfluencedBy": (0, 1),
    "specializationOf": (0, 1),
    "alternateOf": (0, 1),
    "mentionOf": (0, 1, 2),
    "hadMember": (0, 1),
}
"""The positions of the arguments that a statement must have (PROV-DM, 5).

The responsible agent of a delegation may be missing, because the W3C's test cases allow this.
"""

TIME_ARGUMENTS: Final = frozenset({"startTime", "endTime", "time"})

ELEMENT_KINDS: Final = ("entity", "activity", "agent")

NAMELESS: Final = frozenset({"specializationOf", "alternateOf", "mentionOf", "hadMember"})
"""The relations that have no identifier (PROV-DM).

If a document gives one of these relations an identifier, the identifier is ignored.
"""


def is_placeholder(kind: str, arguments: tuple[str | None, ...], place: int) -> bool:
    """Return whether a missing argument means "none" rather than "unknown" (definition 4).

    Only these arguments mean "none" if they are missing:

    - the plan of an association,
    - the activity of a derivation,
    - the generation and the usage of a derivation without an activity.
    """
    if kind == "wasAssociatedWith":
        return place == 2
    return kind == "wasDerivedFrom" and (place == 2 or (place > 2 and arguments[2] is None))


class Implied(NamedTuple):
    """A statement that another statement implies (inferences 9-11, 13, 14).

    Attributes:
        number: the number of the inference.
        needs: the position of the argument that the implying statement must have.
        kind: the kind of the implied statement.
        identifier: the position of the argument that becomes the implied statement's identifier;
            None if the implied statement's identifier is unknown.
        arguments: for each argument of the implied statement, the position of the argument that is
            copied from the implying statement; None if the argument is unknown.
    """

    number: int
    needs: int
    kind: str
    identifier: int | None
    arguments: tuple[int | None, ...]


IMPLIED: Final[dict[str, tuple[Implied, ...]]] = {
    "wasStartedBy": (Implied(9, 1, "wasGeneratedBy", None, (1, 2, None)),),
    "wasEndedBy": (Implied(10, 1, "wasGeneratedBy", None, (1, 2, None)),),
    "wasDerivedFrom": (
        Implied(11, 2, "used", 4, (2, 1, None)),
        Implied(11, 2, "wasGeneratedBy", 3, (0, 2, None)),
    ),
    "actedOnBehalfOf": (
        Implied(14, 2, "wasAssociatedWith", None, (2, 0, None)),
        Implied(14, 2, "wasAssociatedWith", None, (2, 1, None)),
    ),
    "wasAttributedTo": (Implied(13, 0, "wasGeneratedBy", None, (0, None, None)),),
}
"""The inferences that can make a document invalid, by the kind of the implying statement.

The other inferences are not in this table:

- Inferences 5, 6, 12 and 16-18, and the association that inference 13 also implies, can't make a
  document invalid. They only add statements about things that nothing else refers to.
- Inferences 7 and 8 are in `HAPPENS`, and inference 15 is in `INFLUENCES`.
- The engine derives inferences 19-21 from the specializations.
"""

UNIQUE: Final[dict[str, tuple[int, int, int]]] = {
    "wasGeneratedBy": (24, 0, 1),
    "wasInvalidatedBy": (25, 0, 1),
    "wasStartedBy": (26, 0, 2),
    "wasEndedBy": (27, 0, 2),
}
"""For each kind of statement: the number of a uniqueness rule (24-27), and two positions.

The rule says that statements with the same arguments at both positions are the same statement.
"""

INFLUENCES: Final[dict[str, tuple[int, int]]] = {
    "wasGeneratedBy": (0, 1),
    "used": (0, 1),
    "wasInformedBy": (0, 1),
    "wasStartedBy": (0, 1),
    "wasEndedBy": (0, 1),
    "wasInvalidatedBy": (0, 1),
    "wasDerivedFrom": (0, 1),
    "wasAttributedTo": (0, 1),
    "wasAssociatedWith": (0, 1),
    "actedOnBehalfOf": (0, 1),
    "wasInfluencedBy": (0, 1),
}
"""The positions of the influencee and the influencer, for each relation that is an influence.

Inference 15 defines these relations.
"""

DISJOINT: Final = frozenset(INFLUENCES) - {"wasDerivedFrom", "wasInfluencedBy"}
"""The kinds of relation that must not share an identifier (impossibility 53)."""

TYPING: Final[dict[str, tuple[str | None, ...]]] = {
    "wasGeneratedBy": (ENTITY, ACTIVITY, None),
    "used": (ACTIVITY, ENTITY, None),
    "wasInformedBy": (ACTIVITY, ACTIVITY),
    "wasStartedBy": (ACTIVITY, ENTITY, ACTIVITY, None),
    "wasEndedBy": (ACTIVITY, ENTITY, ACTIVITY, None),
    "wasInvalidatedBy": (ENTITY, ACTIVITY, None),
    "wasDerivedFrom": (ENTITY, ENTITY, ACTIVITY, None, None),
    "wasAttributedTo": (ENTITY, None),
    "wasAssociatedWith": (ACTIVITY, None, ENTITY),
    "actedOnBehalfOf": (None, None, ACTIVITY),
    "specializationOf": (ENTITY, ENTITY),
    "alternateOf": (ENTITY, ENTITY),
    "mentionOf": (ENTITY, ENTITY, ENTITY),
    "hadMember": (ENTITY, ENTITY),
}
"""The type of each argument (typing 50): entity, activity, or None if any type is allowed."""

# -- events -----------------------------------------------------------------------------------

GENERATION, INVALIDATION, START, END, USAGE = range(5)
"""The kinds of event. A usage belongs to a statement; every other event belongs to a thing."""

EVENT_NAMES: Final = ("generation", "invalidation", "start", "end", "usage")

EventOf = tuple[int, int]
"""A kind of event, and the position of the argument that the event belongs to.

Position -1 stands for the identifier.
"""

HAPPENS: Final[dict[str, tuple[EventOf, ...]]] = {
    "entity": ((GENERATION, -1), (INVALIDATION, -1)),
    "activity": ((START, -1), (END, -1)),
    "wasGeneratedBy": ((GENERATION, 0),),
    "wasInvalidatedBy": ((INVALIDATION, 0),),
    "wasStartedBy": ((START, 0),),
    "wasEndedBy": ((END, 0),),
}
"""The events that each kind of statement implies (inferences 7 and 8).

Events that no statement implies are not ordered.
"""


class Order(NamedTuple):
    """A rule that one event precedes another (constraints 30-49).

    Attributes:
        number: the number of the constraint.
        earlier, later: the event that comes first, and the event that follows.
        strict: True if the earlier event must come strictly first; False if the events may also be
            simultaneous.
        through: whether the rule also applies if no statement mentions one of the events. True only
            for rules about specialization, which is transitive (inference 19).
    """

    number: int
    earlier: EventOf
    later: EventOf
    strict: bool = False
    through: bool = False


ORDERING: Final[dict[str, tuple[Order, ...]]] = {
    "entity": (Order(36, (GENERATION, -1), (INVALIDATION, -1)),),
    "activity": (Order(30, (START, -1), (END, -1)),),
    "wasGeneratedBy": (
        Order(34, (START, 1), (GENERATION, 0)),
        Order(34, (GENERATION, 0), (END, 1)),
        Order(36, (GENERATION, 0), (INVALIDATION, 0)),
    ),
    "used": (
        Order(33, (START, 0), (USAGE, -1)),
        Order(33, (USAGE, -1), (END, 0)),
        Order(37, (GENERATION, 1), (USAGE, -1)),
        Order(38, (USAGE, -1), (INVALIDATION, 1)),
    ),
    "wasInformedBy": (Order(35, (START, 1), (END, 0)),),
    "wasStartedBy": (
        Order(30, (START, 0), (END, 0)),
        Order(43, (GENERATION, 1), (START, 0)),
        Order(43, (START, 0), (INVALIDATION, 1)),
        Order(43, (START, 2), (START, 0)),  # follows from 9 and 34, even if the trigger is unknown
    ),
    "wasEndedBy": (
        Order(44, (GENERATION, 1), (END, 0)),
        Order(44, (END, 0), (INVALIDATION, 1)),
        Order(44, (START, 2), (END, 0)),  # follows from 10 and 34
    ),
    "wasDerivedFrom": (Order(42, (GENERATION, 1), (GENERATION, 0), True),),
    "specializationOf": (
        Order(45, (GENERATION, 1), (GENERATION, 0), through=True),
        Order(46, (INVALIDATION, 0), (INVALIDATION, 1), through=True),
    ),
    "wasAssociatedWith": (
        Order(47, (START, 0), (INVALIDATION, 1)),
        Order(47, (GENERATION, 1), (END, 0)),
        Order(47, (START, 0), (END, 1)),
        Order(47, (START, 1), (END, 0)),
    ),
    "wasAttributedTo": (
        Order(48, (GENERATION, 1), (GENERATION, 0)),
        Order(48, (START, 1), (GENERATION, 0)),
    ),
    "actedOnBehalfOf": (
        Order(49, (GENERATION, 1), (INVALIDATION, 0)),
        Order(49, (START, 1), (END, 0)),
    ),
}
"""The order of events for each kind of statement.

All starts of one activity are simultaneous, so they count as one event. The same applies to the
ends of one activity, and to the generations and the invalidations of one entity (31, 32, 39, 40).

Constraint 41 is not needed. It orders the usage in a derivation before the generation of the new
entity. Two events precede that usage: the start of the derivation's activity (33), and the
generation of the used entity (37). Both events also precede the new entity's generation, by 34
(with 11) and by 42.
"""


def _find_recurring_events() -> frozenset[int]:
    """Return the kinds of event that can precede a generation, directly or through other events.

    Every strict step ends in a generation, so only these events can lie on a cycle that contains a
    strict step.
    """
    found = {GENERATION}
    orders = [order for each in ORDERING.values() for order in each]
    while True:
        more = {order.earlier[0] for order in orders if order.later[0] in found} - found
        if not more:
            return frozenset(found)
        found |= more


RECURRING: Final = _find_recurring_events()
"""The kinds of event that can lie on a cycle with a strict step.

Ends, invalidations and usages precede only ends and invalidations. Therefore constraints that
place other events before these events (30, 33, 35-38, 44, 46, 47, 49) never make a document
invalid.
"""

BINDING: Final[dict[str, tuple[Order, ...]]] = {
    kind: binding
    for kind, orders in ORDERING.items()
    if (
        binding := tuple(
            order
            for order in orders
            if order.earlier[0] in RECURRING and order.later[0] in RECURRING
        )
    )
}
"""The rules on the order of events that can contribute to a cycle, by kind of statement."""


INFERENCES: Final[dict[int, str]] = {
    9: "wasStartedBy-inference",
    10: "wasEndedBy-inference",
    11: "derivation-generation-use-inference",
    13: "attribution-inference",
    14: "delegation-inference",
    15: "influence-inference",
    19: "specialization-transitive",
    21: "specialization-attributes-inference",
}
"""The names that the Recommendation gives to the inferences that appear in explanations."""


class Rule(NamedTuple):
    """The name that the Recommendation gives to a rule, and a sentence that states the rule."""

    name: str
    sentence: str


RULES: Final[dict[int, Rule]] = {
    0: Rule("statement", "a statement has all its mandatory arguments (PROV-DM)"),
    22: Rule("key-object", "statements with the same identifier do not contradict each other"),
    23: Rule("key-properties", "statements with the same identifier do not contradict each other"),
    24: Rule("unique-generation", "an entity has only one generation by an activity"),
    25: Rule("unique-invalidation", "an entity has only one invalidation by an activity"),
    26: Rule("unique-wasStartedBy", "an activity has only one start by another activity"),
    27: Rule("unique-wasEndedBy", "an activity has only one end by another activity"),
    28: Rule("unique-startTime", "an activity's start time equals the time of its start event"),
    29: Rule("unique-endTime", "an activity's end time equals the time of its end event"),
    30: Rule("start-precedes-end", "an activity's start precedes its end"),
    33: Rule("usage-within-activity", "a usage lies between its activity's start and end"),
    34: Rule(
        "generation-within-activity", "a generation lies between its activity's start and end"
    ),
    35: Rule(
        "wasInformedBy-ordering", "the informant's start precedes the end of the informed activity"
    ),
    36: Rule(
        "generation-precedes-invalidation", "an entity's generation precedes its invalidation"
    ),
    37: Rule("generation-precedes-usage", "an entity's generation precedes its usage"),
    38: Rule("usage-precedes-invalidation", "an entity's usage precedes its invalidation"),
    41: Rule(
        "derivation-usage-generation-ordering",
        "the usage in a derivation precedes the generation",
    ),
    42: Rule(
        "derivation-generation-generation-ordering",
        "a source was generated strictly before the entity that was derived from it",
    ),
    43: Rule("wasStartedBy-ordering", "a trigger exists when it starts an activity"),
    44: Rule("wasEndedBy-ordering", "a trigger exists when it ends an activity"),
    45: Rule(
        "specialization-generation-ordering",
        "the general entity's generation precedes the specific entity's generation",
    ),
    46: Rule(
        "specialization-invalidation-ordering",
        "the specific entity's invalidation precedes the general entity's invalidation",
    ),
    47: Rule("wasAssociatedWith-ordering", "the lifetimes of an activity and its agent overlap"),
    48: Rule(
        "wasAttributedTo-ordering", "an agent exists before the entity that is attributed to it"
    ),
    49: Rule("actedOnBehalfOf-ordering", "the responsible agent exists before the delegate ends"),
    51: Rule(
        "impossible-unspecified-derivation-generation-use",
        "a derivation without an activity has no generation and no usage",
    ),
    52: Rule("impossible-specialization-reflexive", "nothing is a specialization of itself"),
    53: Rule("impossible-property-overlap", "an identifier belongs to only one kind of relation"),
    54: Rule(
        "impossible-object-property-overlap",
        "an identifier belongs to a thing or to a relation, not to both",
    ),
    55: Rule("entity-activity-disjoint", "nothing is both an entity and an activity"),
    56: Rule("membership-empty-collection", "an empty collection has no members"),
}
"""The constraints, by number. Number 0 stands for PROV-DM's rule about mandatory arguments."""
