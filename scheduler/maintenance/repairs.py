"""Hold what Redis remembers against SQL, and repair it: SQL wins. The counts say how much was wrong.

Marks of lines have a duty of their own, and beats that have not been carried yet are `carry_beats`'.
"""

from __future__ import annotations

from redis import RedisError

from orchestrator.jobs.comparison import mistaken
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    try:
        counts = {"presence_repaired": _presence(term), "proposals_repaired": _proposals(term)}
    except RedisError:
        return {}
    return {name: count for name, count in counts.items() if count}


def _presence(term: Term) -> int:
    """A robot that is known wrongly is forgotten: its next beat asks SQL. Two looks, because what changes
    between the look at Redis and that at SQL is no mistake."""
    presence = term.parts.presence
    known = presence.known()
    wrong = term.run(lambda tx: mistaken(tx, known)) if known else []
    if not wrong:
        return 0
    still = {key: one for key, one in presence.known(wrong).items() if one == known[key]}
    sure = term.run(lambda tx: mistaken(tx, still))
    presence.forget(sure)
    return len(sure)


def _proposals(term: Term) -> int:
    """A resource that is proposed for ever would be passed over for ever."""
    late = term.parts.proposals.overdue()
    term.parts.proposals.forget(*late)
    return len(late)
