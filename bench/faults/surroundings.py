"""Owns the rows in which what a balancer stands on fails: the engine, the disk, the log's reader, the clock, the balancer itself."""
import os, random, signal, subprocess, threading, time
from pathlib import Path

import engine
from own_engine import OUTSIDE_ADDRESS as own_engine_address, OwnEngine
from processes import ROOT, Failed, Skipped, output, until

ENGINE_OUTAGE = 5


# The engine, through a proxy of our own.

def engine_proxy(trial):
    path = trial.subject.folder / "engine.sock"
    trial.engine = engine.Proxy(path)
    trial.undo.callback(trial.engine.close)
    trial.subject.environment["DOCKER_HOST"] = f"unix://{path}"


def engine_fails(how):
    """The engine fails for a while, and meanwhile a replica dies. Recovery counts from when the engine is back."""
    def deed(trial):
        victims = trial.one()
        trial.strike(victims, lambda _: how(trial.engine))
        pid = trial.subject.life(victims[0])[0]
        time.sleep(1)
        trial.kill(pid)
        time.sleep(ENGINE_OUTAGE - 1)
        trial.raw.healed = time.time()
        trial.engine.heal()
        trial.until_replaced()
    return deed


engine_hangs = engine_fails(lambda proxy: proxy.hang())
engine_gone = engine_fails(lambda proxy: proxy.refuse())


def events_cut(trial):
    """The engine's connections are cut, and a replica dies at once."""
    victims = trial.one()
    trial.engine.cut()
    trial.strike_dead(victims, lambda victim: engine.post(trial.subject.container(victim.name), "kill"))


# An engine of our own, restarted.

def own_engine(lives_restore):
    def setup(trial):
        subject = trial.subject
        trial.engine = OwnEngine(subject.folder, lives_restore)
        trial.ground.callback(trial.engine.end)
        trial.engine.start()
        trial.engine.load_image()
        subject.engine_host, subject.reached_at = trial.engine.host, own_engine_address
        subject.environment["DOCKER_HOST"] = trial.engine.host
    return setup


def engine_restarted(trial):
    """Its containers go on, but for one that dies meanwhile. Recovery counts from when the engine answers again."""
    victims = trial.one()
    pid = trial.subject.life(victims[0])[0]
    trial.strike(victims, lambda _: trial.engine.stop())
    trial.kill(pid)
    trial.engine.start()
    trial.raw.healed = time.time()
    trial.until_replaced()


def engine_takes_all(trial):
    """It ends its containers with itself, and nobody can answer until it is back."""
    trial.strike(trial.some(), lambda _: None)
    trial.engine.stop()
    trial.engine.start()
    trial.raw.healed = time.time()
    trial.until_replaced()


# The disk.

def small_disk(trial):
    folder = trial.subject.state_dir
    folder.mkdir()
    try:
        output(["mount", "-t", "tmpfs", "-o", "size=256k", "faults", folder])
    except (Failed, FileNotFoundError) as reason:
        raise Skipped(f"no small disk can be mounted: {reason}") from None
    # The balancer still has files open there when this is undone.
    trial.undo.callback(lambda: subprocess.run(["umount", "--lazy", str(folder)]))


def disk_full(trial):
    subject, filler = trial.subject, trial.subject.state_dir / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    # A replica dies while nothing can be stored, and a change is asked for.
    trial.strike_dead(trial.one(), lambda victim: subject.signal(victim, signal.SIGKILL))
    status, answer = subject.ask("POST", f"{subject.path}/replicas", {"count": 1}, patience=30)
    trial.remark(f"an addition answered {status}: {answer.get('detail', answer) if isinstance(answer, dict) else answer}")
    trial.raw.own |= {"refused": int(status >= 400)}
    trial.until_replaced()
    filler.unlink()
    add = lambda: subject.ask("POST", f"{subject.path}/replicas", {"count": 1}, patience=30)[0] == 200
    try:
        trial.raw.own["healed"] = int(until("it can be stored again", add, 5, pause=0.2))
    except Failed:
        trial.raw.own["healed"] = 0


# The reader of the log.

def pipe_for_log(trial):
    reader, writer = os.pipe()
    trial.subject.stderr = trial.log = writer
    trial.undo.callback(lambda: [os.close(end) for end in (reader, writer)])


def blocked_reader(trial):
    """What the balancer says goes into a pipe that nobody reads, and that is full from now on."""
    # Opened anew, so that the balancer's own end goes on to block.
    end = os.open(f"/proc/self/fd/{trial.log}", os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        try:
            while os.write(end, bytes(size)):
                pass
        except BlockingIOError:
            pass
    os.close(end)
    trial.strike_dead(trial.one(), lambda victim: trial.subject.signal(victim, signal.SIGKILL))


# The clock.

def fake_clock(trial):
    places = [Path("/usr/lib/x86_64-linux-gnu/faketime"), ROOT / "target/faketime/usr/lib/x86_64-linux-gnu/faketime"]
    library = next((place / "libfaketimeMT.so.1" for place in places if (place / "libfaketimeMT.so.1").exists()), None)
    if library is None:
        raise Skipped("libfaketime is not installed")
    trial.clock = trial.subject.folder / "clock"
    trial.clock.write_text("+0d\n")
    # Only what the balancer itself sees: its replicas get a clean environment by `env`.
    trial.subject.environment |= {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(trial.clock),
                                  "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def move_clock(trial):
    trial.strike([], lambda _: None)
    before = len(trial.subject.view())
    for day in ("+1d", "-1d", "+0d"):
        trial.clock.write_text(day + "\n")
        time.sleep(2)
        at = trial.subject.events()
        trial.remark(f"clock at {day}: {before} replicas, {len(at)} events")


# The balancer, killed at random moments of changes, and started again.

def killed_at_moments(trial):
    """Kills the balancer somewhere in an addition, a removal or a replacement; the next one has the old wish or the new."""
    subject, randomness = trial.subject, random.Random(trial.options.seed + trial.number)
    print_seed = f"seed {trial.options.seed + trial.number}"
    outcomes = {"old": 0, "new": 0, "neither": 0, "leaked": 0, "doubled": 0, "foreign_lost": 0}
    moments = max(1, -(-trial.options.moments // trial.options.runs_of(trial.row)))
    for number in range(moments):
        kind = randomness.choice(["add", "remove", "replace"] if len(subject.service()["replicas"]) > 2 else ["add", "replace"])
        if len(subject.service()["replicas"]) > 4:
            kind = "remove"
        outcome = moment(subject, kind, randomness)
        for word in outcome:
            outcomes[word] += 1
        if {"neither", "leaked", "doubled"} & set(outcome):
            trial.remark(f"{print_seed}, moment {number}, {kind}: {', '.join(outcome)}: {subject.told}")
    trial.raw.own |= {"moments": moments} | outcomes


def moment(subject, kind, randomness):
    old = wish(subject)
    answer = []

    def edit():
        try:
            if kind == "add":
                answer.append(subject.ask("POST", f"{subject.path}/replicas", {"count": 1}, patience=30)[0])
            elif kind == "remove":
                answer.append(subject.ask("DELETE", f"{subject.path}/replicas", {"count": 1}, patience=30)[0])
            else:
                engine.remove(randomness.choice(sorted(old)))
        except (OSError, Failed):
            pass
    editor = threading.Thread(target=edit, daemon=True)
    editor.start()
    time.sleep(randomness.random() * 1.5)
    subject.process.kill()
    subject.process.wait()
    editor.join(35)
    was_told = answer == [200]
    subject.start(is_awaited=False)
    until("the admin API answers", lambda: answers(subject), 30)
    new = wish(subject)
    subject.until_ready(len(new), 60)
    change = {"add": 1, "remove": -1, "replace": 0}[kind]
    is_old = new == old
    # A seat that died may have been given a new name.
    is_new = len(new) == len(old) + change and (old < new or new < old or kind == "replace" and len(old - new) == 1)
    # Whoever was told that it is done has to find it done.
    word = "new" if is_new and (was_told or not is_old) else "old" if is_old and not (was_told and change) else "neither"
    words = [word]
    try:
        until("containers and wish agree", lambda: sorted(names(subject)) == sorted(new), 15)
    except Failed:
        there = names(subject)
        words += ["leaked"] if set(there) - new else []
        words += ["doubled"] if len(there) != len(set(there)) or len(there) > len(new) else []
    subject.told = f"was {sorted(old)}, is {sorted(new)}, containers {sorted(names(subject))}, the edit was answered {answer}"
    return words


def answers(subject):
    if subject.process.poll() is not None:
        raise Failed(f"the balancer ended with {subject.process.returncode}: {subject.said()[-600:]}")
    try:
        return subject.service()["desired"] > 0
    except (OSError, KeyError, TypeError):
        return False


def wish(subject):
    return {replica["name"] for replica in subject.service()["replicas"]}


def names(subject):
    return subject.docker("ps", "--all", "--format", '{{.Label "evenkeel.name"}}', "--filter", f"label=evenkeel.owner={subject.owner}").split()
