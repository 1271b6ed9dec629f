"""Owns the faults: how each is injected into a subject under load. A deed takes a trial, and returns when all of it is done."""
import os, signal, subprocess, time

import engine
import witness
from processes import Failed, Skipped, output, until


def one(trial):
    return trial.one()


def every(trial):
    return trial.some()


# Deaths.

def kill(victims):
    def deed(trial):
        # To find out who they are takes longer than to kill them.
        pids = {victim: trial.subject.life(victim)[0] for victim in victims(trial)}
        with trial.deaths_of(pids.values()):
            trial.strike(pids, lambda victim: os.kill(pids[victim], signal.SIGKILL))
    return deed


def docker_kill(trial):
    trial.strike_dead(trial.one(), lambda victim: engine.post(trial.subject.container(victim.name), "kill"))


def docker_remove(trial):
    trial.strike_dead(trial.one(), lambda victim: engine.remove(trial.subject.container(victim.name)))


def docker_stop(trial):
    trial.strike_dead(trial.one(), lambda victim: engine.post(trial.subject.container(victim.name), "stop"))


def eat_memory(trial):
    trial.strike_dead(trial.one(), lambda victim: trial.subject.command(victim, "eat-memory"))


# Silence.

def freeze(stop, resume):
    def deed(trial):
        victim = trial.one()[0]
        pid = trial.subject.life(victim)[0]
        thaw = lambda: resume(trial, victim, pid)
        trial.undo.callback(thaw)
        trial.strike([victim], lambda victim: stop(trial, victim, pid))
        trial.until_replaced() if trial.subject.name == "Evenkeel" else time.sleep(4)
        trial.raw.own["thawed"] = int(thaw())
        # Whatever thaws finds its seat taken, and has to go.
        if trial.subject.name == "Evenkeel":
            trial.raw.own["left_over"] = int(not goes(pid))
    return deed


def goes(pid, patience=8):
    try:
        return until("it is gone", lambda: not os.path.exists(f"/proc/{pid}") or state(pid) == "Z", patience)
    except Failed:
        return False


def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def resume_process(_trial, _victim, pid):
    """Whether there was anybody left to be thawed."""
    if state(pid) != "T":
        return False
    os.kill(pid, signal.SIGCONT)
    return True


def resume_container(_trial, victim, pid):
    try:
        # By its process, for the replacement has its name.
        if os.path.exists(f"/proc/{pid}"):
            with open(f"/proc/{pid}/cgroup") as file:
                container = next(line for line in file if "freezer" in line or line.startswith("0::")).strip().rsplit("/", 1)[1]
            engine.post(container, "unpause")
            return True
    except (Failed, OSError, StopIteration):
        pass
    return False


freeze_process = freeze(lambda _trial, _victim, pid: os.kill(pid, signal.SIGSTOP), resume_process)
freeze_container = freeze(lambda trial, victim, _pid: engine.post(trial.subject.container(victim.name), "pause"), resume_container)


# Misbehaviour, as witnesses do it on command.

def misbehave(mode, victims=one, back_after=None):
    def deed(trial):
        places = {victim: trial.subject.life(victim)[1] for victim in victims(trial)}
        trial.strike(places, lambda victim: witness.command(*places[victim], mode))
        if back_after:
            time.sleep(back_after)
            for victim in trial.raw.victims:
                # Those that were replaced meanwhile have no need of it.
                try:
                    trial.subject.command(victim, "normal")
                except (OSError, Failed):
                    trial.remark(f"{victim.name} was gone before it was told to behave")
    return deed


# The network of a container: rules in its namespace, for the port of the service only.

def filter_packets(*rule, is_ill=True):
    def deed(trial):
        victim = trial.one()[0]
        pid = trial.subject.life(victim)[0]
        inside = ["nsenter", "--target", str(pid), "--net", "iptables", "--wait"]
        port = str(witness.CONTAINER_PORT)
        rules = [["INPUT", "--protocol", "tcp", "--dport", port], ["OUTPUT", "--protocol", "tcp", "--sport", port]]
        try:
            output([*inside, "--list", "--numeric"])
        except (Failed, FileNotFoundError) as reason:
            raise Skipped(f"no packet filter in the container's namespace: {reason}") from None
        # One that loses some packets is no victim: it serves, and may not be ejected.
        trial.strike([victim] if is_ill else [], lambda _: None)
        for where in rules:
            output([*inside, "--append", *where, *rule, "--jump", "DROP"])
    return deed


lose_packets = filter_packets("--match", "statistic", "--mode", "random", "--probability", "0.1", is_ill=False)
cut_network = filter_packets()


# The machine and the balancer.

def pause_balancer(seconds):
    def deed(trial):
        trial.strike([], lambda _: None)
        trial.subject.pause(seconds)
    return deed


def load_cpus(trial):
    busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"], start_new_session=True) for _ in range(4)]

    def end():
        for process in busy:
            process.kill()
            process.wait()
    trial.undo.callback(end)
    trial.strike([], lambda _: None)
    time.sleep(trial.options.cpu_seconds)
    end()
