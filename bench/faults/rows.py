"""The table: every row with its fault, how it is injected, its target, and the deed. The targets are those of the
promise ("ownership under faults"), each a claim about the figures of one run.
"""
import dataclasses
from typing import Callable, Optional

import deeds
import edits
import surroundings
from witness import BOOT_MS


@dataclasses.dataclass(frozen=True)
class Claim:
    text: str
    holds: Callable
    # What else may be so, because nobody could do better; it is said in the table.
    excuse: Optional[Callable] = None


@dataclasses.dataclass(frozen=True)
class Row:
    key: str
    fault: str
    how: str
    claims: tuple
    deed: Callable
    driver: str = "process"
    # How long the load goes on after the fault; a function where an option says.
    seconds: object = 5.5
    setup: Optional[Callable] = None
    afterwards: Optional[Callable] = None
    # Whether HAProxy and nginx can run it too.
    peers: bool = False
    runs_max: int = 100
    rate: int = 1000
    # Longer than a request may wait for a replica.
    answer_seconds: int = 12

    def lasts(self, options):
        return self.seconds(options) if callable(self.seconds) else self.seconds


def at_most(name, limit, text):
    return Claim(text, lambda seen: seen.get(name) is not None and seen[name] <= limit)


def at_least(name, limit, text):
    return Claim(text, lambda seen: seen.get(name) is not None and seen[name] >= limit)


def p99_recovers(seen):
    # Half a millisecond is what a machine with two CPUs adds by itself.
    return seen["p99_after"] is not None and seen["p99_after"] <= max(1.5 * seen["p99_base"], seen["p99_base"] + 0.5)


LOST = Claim("lost 0", lambda seen: seen["lost_get"] + seen["lost_post"] == 0,
             lambda seen: seen["lost_get"] == 0 and seen["lost_post"] <= seen["inside_post"])
LOST_GET = at_most("lost_get", 0, "no GET lost")
ONCE = Claim("duplicated 0", lambda seen: seen["duplicated_get"] + seen["duplicated_post"] == 0)
# What was executed and not answered when its replica died is either lost or executed again.
ONCE_OR_DEAD = Claim(ONCE.text, ONCE.holds, lambda seen: seen["duplicated_post"] == 0)
POST_ONCE = at_most("duplicated_post", 0, "no POST executed twice")
OUT = at_most("out", 50, "out of the table ≤ 50 ms")
OUT_FROZEN = at_most("out", 1500, "ejected ≤ 1.5 s")
BACK = Claim("back ≤ boot + 150 ms", lambda seen: None not in (seen.get("back"), seen.get("boot")) and seen["back"] <= seen["boot"] + 150)
HEALTHY = at_most("healthy_ejected", 0, "no healthy replica ejected")
SEATS = at_most("double_seats", 0, "no double membership")
BAD = at_most("lost", 5, "at most 5 bad answers")
P99 = Claim("p99 ≤ 1.5 × base after 5 s", p99_recovers)
NOT_EMPTY = at_least("ready_min", 1, "table never empty")
NOBODY = at_most("new_lives", 0, "nobody replaced")
TABLE_OF_3 = Claim("never in the table", lambda seen: seen["ready_max"] <= 3)
BACK_AFTER_ENGINE = Claim("restored ≤ 1 s + boot", lambda seen: seen.get("back") is not None and seen["back"] <= 1000 + max(seen.get("boot") or 0, BOOT_MS))

DEATH = (LOST, ONCE_OR_DEAD, OUT, BACK)
FAILED_ADD = (LOST, TABLE_OF_3, at_least("refused", 1, "/add fails"), at_least("reason_told", 1, "with the reason"), at_least("undone", 1, "and undoes itself"))
WITNESS_TOLD = "the replica is told to"


def with_spare(trial):
    trial.subject.lines = "spares = 1"


def oom(trial):
    trial.subject.lines = 'memory = "64MiB"'


ROWS = (
    Row("kill-one", "kill -9 of one of three", "SIGKILL", DEATH, deeds.kill(deeds.one), peers=True),
    Row("kill-all", "kill -9 of all three", "SIGKILL", DEATH, deeds.kill(deeds.every), peers=True),
    Row("kill-one-spare", "kill -9 of one of three, with `spares = 1`", "SIGKILL", (LOST, ONCE_OR_DEAD, OUT, at_most("back", 50, "back ≤ 50 ms")), deeds.kill(deeds.one), setup=with_spare),
    Row("docker-kill", "`docker kill`", "the engine's call, one of three", DEATH, deeds.docker_kill, "docker", 6),
    Row("docker-rm", "`docker rm -f`", "the engine's call, one of three", DEATH, deeds.docker_remove, "docker", 6),
    Row("oom", "out of memory", '`memory = "64MiB"`, and one of three allocates until the kernel kills it', DEATH, deeds.eat_memory, "docker", 6, oom),
    Row("docker-stop", "`docker stop` by hand", "the engine's call, one of three", (LOST, ONCE_OR_DEAD), deeds.docker_stop, "docker", 6),
    Row("freeze", "frozen, then thawed after its replacement", "SIGSTOP, SIGCONT", (LOST_GET, POST_ONCE, OUT_FROZEN, SEATS,
        at_most("left_over", 0, "the thawed one goes")), deeds.freeze_process, seconds=6, peers=True),
    Row("docker-pause", "`docker pause`, then unpaused after its replacement", "the engine's calls", (LOST_GET, POST_ONCE, OUT_FROZEN, SEATS,
        at_most("left_over", 0, "the thawed one goes")), deeds.freeze_container, "docker", 7),
    Row("refuse", "port refused", f"{WITNESS_TOLD} close its listener and reset its connections, the process stays", (LOST_GET, POST_ONCE, HEALTHY),
        deeds.misbehave("refuse-all"), peers=True),
    Row("reset", "established connections reset", f"{WITNESS_TOLD} reset its connections once", (LOST_GET, POST_ONCE, HEALTHY), deeds.misbehave("reset"), peers=True),
    Row("loss", "10 % packet loss to one replica", "iptables `statistic` in its network namespace, both directions; it counts as healthy", (LOST, POST_ONCE, HEALTHY), deeds.lose_packets, "docker", 6),
    Row("cut", "network cut to one replica", "iptables DROP in its network namespace, both directions", (LOST_GET, POST_ONCE, OUT_FROZEN, HEALTHY), deeds.cut_network, "docker", 6),
    Row("slow", "one replica ten times slower", "10 ms instead of 1 ms", (LOST, ONCE, P99), deeds.misbehave("slow"), seconds=8, peers=True),
    Row("error", "one answering 500", f"{WITNESS_TOLD}; its heartbeats stay good", (BAD, P99), deeds.misbehave("error"), seconds=8, peers=True),
    Row("garbage", "one answering garbage", f"{WITNESS_TOLD}; its heartbeats stay good", (BAD, P99), deeds.misbehave("garbage"), seconds=8, peers=True),
    Row("truncate", "one truncating its answers", f"{WITNESS_TOLD}; its heartbeats stay good", (BAD, P99), deeds.misbehave("truncate"), seconds=8, peers=True),
    Row("all-error", "all answer 500", f"{WITNESS_TOLD}, for 4 s", (NOT_EMPTY, NOBODY), deeds.misbehave("error", deeds.every, 4)),
    Row("all-silent", "all miss heartbeats at once", f"{WITNESS_TOLD}, for 4 s", (LOST, NOT_EMPTY, NOBODY), deeds.misbehave("no-heartbeat", deeds.every, 4)),
    Row("never-ready", "new replica never ready", '`/add` of one that never listens, `start_timeout = "2s"`', FAILED_ADD, edits.add_that_fails, seconds=5, setup=edits.never_ready),
    Row("exits", "new replica exits at once", "`/add` of one that exits with 3", FAILED_ADD, edits.add_that_fails, seconds=5, setup=edits.exits_at_once),
    Row("crash-loop", "a replica dies, and its next lives exit at once", "SIGKILL; for 5 s every start exits with 3",
        (LOST, ONCE_OR_DEAD, HEALTHY, at_most("starts", 8, "backoff"), at_least("reason_told", 1, "reason told")), edits.crash_loop, seconds=9, setup=edits.exits_at_once),
    Row("edits", "50 parallel `/add` and `/rm`", "50 clients, one replica each, again and again", (LOST, at_least("serial", 1, "answers equal a serial order"),
        at_least("agree", 1, "/rep, processes and placement agree"), at_most("edits_failed", 0, "every edit succeeds")),
        edits.parallel_edits, seconds=lambda options: options.edit_seconds + 15, runs_max=2),
    Row("scale", "10 → 2 → 10", "`PUT scale`", (LOST, ONCE, at_least("ready_min", 2, "never fewer than 2 ready"), at_least("agree", 1, "all agree")),
        edits.scale(10), seconds=6, setup=edits.ten),
    Row("rollout", "rollout of all", "`evenkeel deploy --force`", (LOST, ONCE, at_least("ready_min", 3, "never fewer than 3 ready"),
        at_most("unreplaced", 0, "all replaced"), at_least("agree", 1, "all agree")), edits.rollout, seconds=10),
    Row("balancer-killed", "balancer killed at random moments of adding, removing, replacing", "SIGKILL, three containers, and a start with the same state",
        (at_most("neither", 0, "old wish or new wish"), at_most("leaked", 0, "nothing leaked"), at_most("doubled", 0, "nothing doubled")),
        surroundings.killed_at_moments, "docker", rate=0),
    Row("balancer-paused", "balancer paused for 30 s", "SIGSTOP, SIGCONT; 100 requests/s", (NOBODY,), deeds.pause_balancer(30), seconds=36, runs_max=2, rate=100, answer_seconds=70),
    Row("busy", "machine at 100 % CPU", "four busy loops", (LOST, NOBODY), deeds.load_cpus, seconds=lambda options: options.cpu_seconds + 3, runs_max=1),
    Row("engine-hung", "Docker hangs for 5 s; a replica dies meanwhile", "a proxy before the engine holds every byte", (LOST, ONCE_OR_DEAD, HEALTHY, BACK_AFTER_ENGINE),
        surroundings.engine_hangs, "docker", 9, surroundings.engine_proxy),
    Row("engine-gone", "Docker gone for 5 s; a replica dies meanwhile", "a proxy before the engine refuses and cuts", (LOST, ONCE_OR_DEAD, HEALTHY, BACK_AFTER_ENGINE),
        surroundings.engine_gone, "docker", 9, surroundings.engine_proxy),
    Row("events-cut", "Docker's events cut as a replica dies", "a proxy before the engine cuts, then `docker kill`", DEATH, surroundings.events_cut, "docker", 6, surroundings.engine_proxy),
    Row("engine-restart", "Docker restarted, with live-restore; a replica dies meanwhile", "an engine of the row's own", (LOST, ONCE_OR_DEAD, HEALTHY, BACK_AFTER_ENGINE),
        surroundings.engine_restarted, "docker", 9, surroundings.own_engine(True), runs_max=3),
    Row("engine-restart-all", "Docker restarted, and its containers with it", "an engine of the row's own, without live-restore; 100 requests/s",
        (LOST, ONCE_OR_DEAD, BACK_AFTER_ENGINE), surroundings.engine_takes_all, "docker", 12, surroundings.own_engine(False), rate=100, runs_max=3),
    Row("disk-full", "disk full; a replica dies meanwhile", "`state_dir` on a tmpfs of 256 KiB that is filled", (LOST, ONCE_OR_DEAD, at_least("refused", 1, "error visible"),
        at_least("healed", 1, "heals by itself")), surroundings.disk_full, seconds=6, setup=surroundings.small_disk),
    Row("log-blocked", "log reader blocked; a replica dies", "standard error is a pipe that is filled; SIGKILL", DEATH, surroundings.blocked_reader, setup=surroundings.pipe_for_log),
    Row("clock", "wall clock moved by a day", "libfaketime: a day ahead, a day back, right again", (LOST, ONCE, NOBODY), surroundings.move_clock, seconds=7, setup=surroundings.fake_clock),
)
