"""Owns one run of a row: a fresh subject, the load, the fault in it, and everything they leave behind."""
import contextlib, os, select, signal, tempfile, threading, time
from pathlib import Path

from figures import Raw
from load import Load
from processes import Failed, until
from watch import Watch

BASE_SECONDS = 2


class Trial:
    """What a deed works with: the subject, the moment of the fault, and what has to be undone."""

    def __init__(self, row, number, subject, options):
        self.row, self.number, self.subject, self.options = row, number, subject, options
        self.raw = Raw(wanted=subject.replicas)
        # What has to be undone before the subject ends, and after it.
        self.undo, self.ground = contextlib.ExitStack(), contextlib.ExitStack()

    def one(self):
        """One of the replicas, in the middle."""
        return [self.some()[len(self.some()) // 2]]

    def some(self):
        return [replica for replica in self.subject.view() if replica.is_ready]

    def strike(self, victims, deed):
        """Does something to replicas, and remembers when."""
        self.raw.victims, self.raw.struck = list(victims), time.time()
        self.raw.fault = self.raw.struck
        for victim in victims:
            deed(victim)

    def strike_dead(self, victims, deed):
        """The same, where they die of it: the fault is when the last of them is dead, as the kernel tells."""
        with self.deaths_of(self.subject.life(victim)[0] for victim in victims):
            self.strike(victims, deed)
        self.raw.fault = self.raw.dead

    @contextlib.contextmanager
    def deaths_of(self, pids):
        """Waits at the end of the block until they are dead, and remembers when the last one was."""
        with contextlib.ExitStack() as descriptors:
            watched, deaths = [os.pidfd_open(pid) for pid in pids], []
            for descriptor in watched:
                descriptors.callback(os.close, descriptor)
            watcher = threading.Thread(target=wait_for_deaths, args=(watched, deaths), daemon=True)
            watcher.start()
            yield
            watcher.join(30)
            if len(deaths) < len(watched):
                raise Failed("a replica that should have died lives")
            self.raw.dead = max(deaths)

    def kill(self, pid):
        """Kills a process in the middle of a deed. The fault is when it is dead."""
        with self.deaths_of([pid]):
            os.kill(pid, signal.SIGKILL)
        self.raw.fault = self.raw.dead

    def until_replaced(self, patience=30):
        """Waits until all are ready, none of them one of the victims."""
        lives = {victim.life for victim in self.raw.victims}

        def is_so():
            ready = [replica for replica in self.subject.view() if replica.is_ready]
            return len(ready) == self.raw.wanted and not lives & {replica.life for replica in ready}
        until("the victims are replaced", is_so, patience)

    def remark(self, text):
        self.raw.remarks.append(text)


def wait_for_deaths(descriptors, deaths):
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    while len(deaths) < len(descriptors):
        for descriptor, _ in poll.poll():
            deaths.append(time.time())
            poll.unregister(descriptor)


def run(row, number, subject_kind, options):
    """One run, whose figures follow from what is returned. Leaves nothing running."""
    with tempfile.TemporaryDirectory(prefix="evenkeel-faults-") as folder, contextlib.ExitStack() as stack:
        subject = subject_kind(Path(folder), options)
        subject.driver = row.driver
        trial = Trial(row, number, subject, options)
        stack.enter_context(trial.ground)
        stack.callback(subject.end)
        stack.enter_context(trial.undo)
        if row.setup:
            row.setup(trial)
        trial.raw.wanted = subject.replicas
        subject.prepare()
        subject.start()
        (under_load if row.rate else without_load)(trial, stack)
        return trial.raw


def under_load(trial, stack):
    raw, subject, row = trial.raw, trial.subject, trial.row
    watch = Watch(subject.look())
    stack.callback(watch.end)
    seconds = BASE_SECONDS + row.lasts(trial.options)
    load = Load(subject.folder, subject.port, seconds, row.rate, row.answer_seconds)
    stack.callback(load.end)
    raw.begun = time.time()
    time.sleep(BASE_SECONDS)
    raw.struck = raw.fault = time.time()
    row.deed(trial)
    raw.requests, raw.examples, raw.lag = load.wait()
    if row.afterwards:
        row.afterwards(trial)
    watch.end()
    raw.changes, raw.gap = watch.changes, watch.longest_gap
    raw.events, raw.facts = subject.events(), list(subject.record.facts())


def without_load(trial, _stack):
    trial.raw.begun = trial.raw.struck = trial.raw.fault = time.time()
    trial.row.deed(trial)
