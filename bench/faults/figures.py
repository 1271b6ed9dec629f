"""Owns the figures of one run: what follows from the load, the records of the replicas, and the view of the fleet.

All moments are seconds since 1970, all figures of time are milliseconds.
"""
import collections, dataclasses

from load import BAD

# How long after the fault requests count as "during".
DURING_SECONDS = 5


@dataclasses.dataclass
class Raw:
    """What one run has left behind."""
    begun: float = 0
    # When the deed began, and when what it does had happened.
    struck: float = 0
    fault: float = 0
    # When the last of those was dead that die of it.
    dead: float = 0
    # Replicas that the fault hits, as they were before, and how many there shall be in the end.
    victims: list = dataclasses.field(default_factory=list)
    wanted: int = 3
    # When the cause was taken away, where recovery can only begin then.
    healed: float = 0
    changes: list = dataclasses.field(default_factory=list)
    events: list = dataclasses.field(default_factory=list)
    facts: list = dataclasses.field(default_factory=list)
    requests: list = dataclasses.field(default_factory=list)
    examples: list = dataclasses.field(default_factory=list)
    # What the row itself has found out: figures by name, and remarks.
    own: dict = dataclasses.field(default_factory=dict)
    remarks: list = dataclasses.field(default_factory=list)
    lag: float = 0
    gap: float = 0


def percentile(values, share):
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else None


def figures(raw):
    seen = {"lag": round(raw.lag, 1), "gap": round(raw.gap * 1000, 1)}
    if raw.requests:
        seen |= of_clients(raw) | of_executions(raw)
    if raw.changes:
        seen |= of_fleet(raw)
    return seen | raw.own


def of_clients(raw):
    """What clients saw. A request is lost if no right answer came to it."""
    lost = [request for request in raw.requests if request.failure]
    p99 = lambda begin, end: percentile([request.latency_ms for request in raw.requests
                                         if begin <= request.at < end and not request.failure], 0.99)
    count = lambda method: sum(request.method == method for request in lost)
    after = raw.fault + DURING_SECONDS
    before = [request.latency_ms for request in raw.requests if not request.failure and request.at + request.latency_ms / 1000 < raw.struck]
    return {"requests": len(raw.requests), "lost_get": count("GET"), "lost_post": count("POST"), "lost": len(lost),
            "bad": sum(request.failure in BAD for request in lost),
            "p99_base": percentile(before, 0.99), "p99_during": p99(raw.fault, after), "p99_after": p99(after, float("inf")),
            "slowest": percentile([request.latency_ms for request in raw.requests], 1),
            "failures": dict(collections.Counter(request.failure for request in lost))}


def of_executions(raw):
    """What replicas did: `D` lines are executions. A lost POST was inside if a replica had begun with it, or if it was
    under way before those were dead that died: then it may have been, and nobody can know."""
    done = collections.Counter((fact.id, fact.method) for fact in raw.facts if fact.word == "D")
    begun = {fact.id for fact in raw.facts if fact.word == "B"}
    twice = [method for (_, method), count in done.items() if count > 1]
    executed = {request for request, _ in done}
    answered = {request.id for request in raw.requests if not request.failure}
    inside = [request for request in raw.requests if request.failure and request.method == "POST"
              and (request.id in begun or raw.struck <= request.at + request.latency_ms / 1000 and request.at <= max(raw.fault, raw.dead))]
    return {"duplicated_get": twice.count("GET"), "duplicated_post": twice.count("POST"),
            "inside_post": len(inside), "unexecuted": len(answered - executed)}


def of_fleet(raw):
    changes = [change for change in raw.changes if change[0] > raw.struck]
    before = {replica.life for when, fleet in raw.changes if when <= raw.struck for replica in fleet}
    lives = {victim.life for victim in raw.victims}
    ready = lambda fleet: [replica for replica in fleet if replica.is_ready]
    counts = [len(ready(fleet)) for when, fleet in raw.changes if when > raw.begun]
    seats = [[replica.life[0] for replica in ready(fleet)] for _, fleet in raw.changes]
    begun_lives = {replica.life for _, fleet in changes for replica in fleet} - before
    seen = {"ready_min": min(counts, default=raw.wanted), "ready_max": max(counts, default=raw.wanted),
            "new_lives": len(begun_lives), "double_seats": sum(len(one) != len(set(one)) for one in seats),
            "healthy_ejected": healthy_ejected(raw, changes, lives)}
    if lives:
        seen |= times_of_victims(raw, changes, lives, ready)
    return seen


def times_of_victims(raw, changes, lives, ready):
    # The journal writes to the millisecond, the view is looked at every five.
    told = {life: [when for when, whose, event, _ in raw.events if whose == life and event == "out of the table" and when >= raw.struck - 0.001]
            for life in lives}
    looked = {life: [when for when, fleet in changes if life not in {one.life for one in ready(fleet)}] for life in lives}
    signs = [when for when, whose, _, _ in raw.events if whose in lives and when >= raw.struck - 0.001]
    out = {life: min(told[life] + looked[life], default=None) for life in lives}
    is_back = lambda fleet: len(ready(fleet)) == raw.wanted and not lives & {one.life for one in ready(fleet)}
    back = next((when for when, fleet in changes if is_back(fleet)), None)
    milliseconds = lambda moment, begin=raw.fault: None if moment is None else max(0, round((moment - begin) * 1000, 1))
    last_out = None if None in out.values() else max(out.values())
    first_sign = min(signs + [when for when in out.values() if when], default=None)
    return {"detected": milliseconds(first_sign), "out": milliseconds(last_out), "back": milliseconds(back, max(raw.fault, raw.healed)), "boot": boot(raw, changes, back)}


def boot(raw, changes, back):
    """How long the slowest new life took from its order to listening: the engine's time and the replica's own."""
    fleet = next((fleet for when, fleet in changes if when == back), [])
    seats = {victim.life[0] for victim in raw.victims}
    took = []
    for replica in (one for one in fleet if one.is_ready and one.life[0] in seats):
        ordered = [when for when, life, event, _ in raw.events if life == replica.life and event == "starting"]
        listening = [fact.at for fact in raw.facts if fact.word == "LISTENING" and fact.life.name == replica.name and raw.struck < fact.at <= back]
        if ordered and listening:
            # What was ordered while the cause lasted could not begin before its end.
            took.append(max(listening) - max(ordered[-1], raw.healed))
    return round(max(took) * 1000, 1) if took else None


def healthy_ejected(raw, changes, lives):
    """How many replicas that were ready, and that nothing was done to, went out of the table."""
    healthy = {replica.life for when, fleet in raw.changes if when <= raw.struck for replica in fleet if replica.is_ready} - lives
    return len({life for life in healthy for _, fleet in changes if life not in {one.life for one in fleet if one.is_ready}})
