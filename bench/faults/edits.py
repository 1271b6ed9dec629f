"""Owns the rows in which the fleet is changed on purpose: additions, removals, scaling, rollouts, and starts that fail."""
import random, subprocess, threading, time

from processes import Failed, Skipped, output, until

CLIENTS = 50
EDIT_SECONDS = 90


def contract(subject, method, path, count, names):
    status, answer = subject.ask(method, path, {"n": count, "hostnames": names}, subject.port, EDIT_SECONDS)
    return status, answer


def parallel_edits(trial):
    """Clients that add a replica and remove it again, as fast as they are answered; then everything has to agree."""
    subject, answers, troubles, lock = trial.subject, [], [], threading.Lock()
    trial.strike([], lambda _: None)
    end = time.time() + trial.options.edit_seconds

    def edit(method, path, count, names):
        try:
            status, answer = contract(subject, method, path, count, names)
        except OSError as error:
            status, answer = 0, str(error)
        with lock:
            if status == 200:
                answers.append((1 if path == "/add" else -1, answer["message"]["N"]))
            else:
                troubles.append(f"{path}: {status} {str(answer)[:150]}")
        return status == 200

    def client(number):
        randomness = random.Random(number)
        while time.time() < end:
            name = f"E{number}-{randomness.randrange(10_000)}"
            if edit("POST", "/add", 1, [name]):
                time.sleep(randomness.random() * 0.2)
                edit("DELETE", "/rm", 1, [name])
            time.sleep(randomness.random() * 0.5)
    clients = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(EDIT_SECONDS * 3)
    trial.raw.own |= {"edits": len(answers), "edits_failed": len(troubles), "serial": int(is_serial(answers, trial.raw.wanted))}
    for trouble in troubles[:3]:
        trial.remark(f"an edit failed: {trouble}")
    agree(trial, 3)


def is_serial(answers, begin):
    """Whether some order of the edits explains every answer: a walk from the first count that takes each edit once."""
    leave, enter, neighbours = {}, {}, {}
    for delta, count in answers:
        leave[count - delta] = leave.get(count - delta, 0) + 1
        enter[count] = enter.get(count, 0) + 1
        neighbours.setdefault(count - delta, set()).add(count)
    end = begin + sum(delta for delta, _ in answers)
    for count in {*leave, *enter}:
        surplus = leave.get(count, 0) - enter.get(count, 0)
        if surplus != (count == begin) - (count == end):
            return False
    reached, todo = {begin}, [begin]
    while todo:
        for count in neighbours.get(todo.pop(), ()):
            if count not in reached:
                reached.add(count)
                todo.append(count)
    return set(leave) <= reached


def agree(trial, wanted):
    """The contract's answer, the admin API, what runs, and placement: one and the same fleet."""
    subject = trial.subject
    subject.until_ready(wanted)
    shown = set(subject.ask("GET", "/rep", port=subject.port)[1]["message"]["replicas"])
    listed = {replica["name"] for replica in subject.service()["replicas"]}
    placed = {choice["replica"] for choice in subject.ask("POST", f"{subject.path}/explain", {"path": "/work"})[1]["order"]}
    running = lambda: {record.name for record in lives(subject)}
    differs = lambda: not shown == listed == placed == running()
    try:
        until("everything agrees", lambda: not differs(), 10)
        trial.raw.own["agree"] = 1
    except Failed:
        trial.raw.own["agree"] = 0
        trial.remark(f"/rep {sorted(shown)}, admin {sorted(listed)}, placement {sorted(map(str, placed))}, running {sorted(running())}")


def lives(subject):
    """The lives of processes that are there, by the children of the balancer."""
    children = subprocess.run(["pgrep", "--parent", str(subject.process.pid)], capture_output=True, text=True).stdout.split()
    born = [fact.life for fact in subject.record.facts() if fact.word == "BORN"]
    return [life for life in born if str(life.pid) in children]


def scale(count):
    def deed(trial):
        trial.strike([], lambda _: None)
        for wanted in (2, count):
            status, answer = trial.subject.ask("PUT", f"{trial.subject.path}/scale", {"replicas": wanted}, patience=EDIT_SECONDS)
            if status != 200:
                trial.remark(f"scale to {wanted}: {status} {answer}")
        agree(trial, count)
    return deed


def ten(trial):
    trial.subject.replicas = 10


def rollout(trial):
    subject = trial.subject
    if subprocess.run([subject.options.evenkeel, "deploy", "--help"], capture_output=True).returncode:
        raise Skipped("this evenkeel has no command `deploy`")
    before = {replica.life for replica in subject.view()}
    trial.strike([], lambda _: None)
    begun = time.time()
    output([subject.options.evenkeel, "deploy", "--force", "--admin", f"127.0.0.1:{subject.admin}", "--token-file", subject.token_file], timeout=120)
    trial.raw.own["deploy"] = round((time.time() - begun) * 1000)
    agree(trial, trial.raw.wanted)
    trial.raw.own["unreplaced"] = len(before & {replica.life for replica in subject.view()})


# Starts that fail, while a marker file is there.

def failing(option, lines=""):
    def setup(trial):
        trial.marker = trial.subject.folder / "fail"
        trial.subject.witness_options = [option, trial.marker]
        trial.subject.lines = lines
    return setup


never_ready = failing("--never-ready", 'start_timeout = "2s"')
exits_at_once = failing("--exit-at-once")


def add_that_fails(trial):
    """An addition whose replica cannot start: an error with the reason, and the fleet as it was."""
    subject = trial.subject
    trial.marker.touch()
    trial.strike([], lambda _: None)
    status, answer = contract(subject, "POST", "/add", 1, ["doomed"])
    reason = answer.get("message", answer.get("detail", answer)) if isinstance(answer, dict) else answer
    trial.remark(f"/add answered {status} after {time.time() - trial.raw.fault:.1f} s: {reason}")
    says = any(word in str(reason).lower() for word in ("exit", "ready", "healthy", "well", "heartbeat", "start"))
    trial.raw.own |= {"refused": int(status >= 400), "reason_told": int(says), "add_ms": round((time.time() - trial.raw.fault) * 1000)}
    trial.marker.unlink()
    try:
        until("the addition is undone", lambda: subject.service()["desired"] == 3 and not subject.service()["others"], 10)
        trial.raw.own["undone"] = 1
    except Failed:
        trial.raw.own["undone"] = 0


def crash_loop(trial):
    """A replica that dies, and whose next lives exit at once: pauses that grow, and the others are not disturbed."""
    trial.marker.touch()
    trial.strike_dead(trial.one(), lambda victim: trial.subject.signal(victim, 9))
    time.sleep(5)
    seat = trial.raw.victims[0].life[0]
    starts = [event for event in trial.subject.events() if event[0] >= trial.raw.fault and event[1][0] == seat and event[2] == "starting"]
    victim = next(replica for replica in trial.subject.view() if replica.life[0] == seat)
    trial.remark(f"after 5 s it is {victim.state}: {victim.reason}")
    trial.raw.own |= {"starts": len(starts), "reason_told": int("exit" in str(victim.reason))}
    trial.marker.unlink()
