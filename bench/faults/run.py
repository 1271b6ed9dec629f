#!/usr/bin/env python3
"""What clients see when things fail: the table of docs/faults.md, worst of N runs per row.

usage: bench/faults/run.py [--runs N] [--peer-runs N] [--rows KEY,KEY] [--peers only|yes|no] [--json FILE]
                           [--earlier FILE] [--markdown FILE]
                           [--evenkeel PROGRAM] [--moments N] [--cpu-seconds S] [--edit-seconds S] [--seed N]

Needs Linux, root (for packet filters, pauses of containers and a small disk), python3, cargo, Docker, and of
Debian haproxy, nginx, iptables, util-linux, procps and libfaketime; and `cargo build --profile dist`. What is missing
costs only the rows that need it, and their lines say so. The witness and the load are built here.

Each run has a fresh balancer with its defaults and three witnesses that take 300 ms to boot and 1 ms per
request. A load of 1 000 requests/s (900 GET, 100 POST) goes on whatever becomes of earlier requests;
latency counts from when a request was meant to begin. Every request has an id, which replicas write
down when they begin with it and when they have executed it. After 2 s comes the fault.

Owns the order of the runs, and what is kept of them.
"""
import argparse, json, os, platform, shutil, sys, time
from pathlib import Path

import figures, load, tables, trial, witness
from evenkeel import Evenkeel
from haproxy import Haproxy
from nginx import Nginx
from processes import ROOT, Failed, Skipped, output, prepare, say
from rows import ROWS

# A run that could not be made is made again so often.
ATTEMPTS = 2
LATE_MS = 50
PEERS = (Haproxy, Nginx)


def arguments():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=10)
    options.add_argument("--peer-runs", type=int, help="as many of HAProxy and nginx (default: --runs)")
    options.add_argument("--rows", default="", help=f"some of {', '.join(row.key for row in ROWS)} (default: all)")
    options.add_argument("--peers", choices=["yes", "no", "only"], default="yes", help="HAProxy and nginx, where they can run the row")
    options.add_argument("--json", type=Path, help="write every single run there, after each")
    options.add_argument("--earlier", type=Path, help="the JSON of an earlier run of the same program: rows that are not run now are taken from it")
    options.add_argument("--markdown", type=Path, help="write the tables there, after each row")
    options.add_argument("--evenkeel", type=Path, default=ROOT / "target/dist/evenkeel", help="the program (default: %(default)s)")
    options.add_argument("--moments", type=int, default=100, help="how often the balancer is killed, over all runs")
    options.add_argument("--cpu-seconds", type=int, default=60, help="how long the machine is at 100 %% CPU")
    options.add_argument("--edit-seconds", type=int, default=60, help="how long there are parallel edits")
    options.add_argument("--seed", type=int, default=1, help="of random moments")
    options.add_argument("--no-build", action="store_true", help="witness and load are there")
    options = options.parse_args()
    options.runs_of = lambda row: min(options.runs, row.runs_max)
    return options


def chosen(keys):
    unknown = set(keys) - {row.key for row in ROWS}
    if unknown:
        raise SystemExit(f"no row is called {', '.join(sorted(unknown))}; see --help")
    return [row for row in ROWS if not keys or row.key in keys]


def build(rows, options):
    if not options.evenkeel.exists():
        raise SystemExit(f"{options.evenkeel} is missing: cargo build --profile dist")
    if not options.no_build:
        say("building the witness and the load …")
        witness.build()
        load.build()
    if any(row.driver == "docker" for row in rows) and not docker_is_missing():
        witness.build_image()


def docker_is_missing():
    if shutil.which("docker") is None:
        return "docker is not installed"
    try:
        output(["docker", "version"])
    except Failed as reason:
        return str(reason)


class Report:
    """All results so far, written down after each."""

    def __init__(self, options):
        self.options, self.records = options, []
        # By subject: each row with the figures of its runs, and why there are none.
        self.results = {subject.name: [] for subject in (Evenkeel, *PEERS)}
        if options.earlier:
            self.records = json.loads(options.earlier.read_text())["runs"]

    def heading(self):
        version = output([self.options.evenkeel, "--version"]).strip()
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
        return (f"{version}, worst of up to {self.options.runs} runs per row, {time.strftime('%Y-%m-%d')}; "
                f"{os.cpu_count()} CPUs ({cpu}), Linux {platform.release()}, everything on this machine.")

    def keep(self, row, subject, number, seen, raw):
        self.records.append({"row": row.key, "subject": subject, "run": number, "figures": seen, "remarks": raw.remarks, "examples": raw.examples})
        self.write()

    def forget(self, row, subject):
        self.records = [record for record in self.records if (record["row"], record["subject"]) != (row.key, subject)]

    def earlier(self, row, subject):
        """What an earlier run has found, to stand in for one that is not made now."""
        return [record["figures"] for record in self.records if (record["row"], record["subject"]) == (row.key, subject)]

    def write(self):
        if self.options.json:
            self.options.json.write_text(json.dumps({"heading": self.heading(), "runs": self.records}, indent=1) + "\n")
        if self.options.markdown:
            self.options.markdown.write_text(self.markdown())

    def markdown(self):
        return tables.markdown(self.heading(), self.results)


def take(row, subject_kind, report, options):
    """All runs of a row with one subject: their figures, and why there are none."""
    runs, reason = [], None
    count = options.runs_of(row) if subject_kind is Evenkeel else min(options.peer_runs or options.runs, row.runs_max)
    for number in range(1, count + 1):
        begun = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                raw = trial.run(row, number, subject_kind, options)
                break
            except Skipped as skipped:
                say(f"{row.key}, {subject_kind.name}: skipped: {skipped}")
                return runs, str(skipped)
            except Exception as failure:
                reason = f"{type(failure).__name__}: {' '.join(str(failure).split())}"
                say(f"{row.key}, {subject_kind.name}, run {number}: could not be made: {reason}")
        else:
            # A run that fails for the same reason twice is a finding and not bad luck.
            return runs, reason
        seen = figures.figures(raw)
        runs.append(seen)
        report.keep(row, subject_kind.name, number, seen, raw)
        say(f"{row.key}, {subject_kind.name}, run {number}, {time.monotonic() - begun:.0f} s: {line(seen)}")
        for remark in [*raw.remarks, *raw.examples[:3]]:
            say(f"    {remark}")
        if seen["lag"] > LATE_MS:
            say(f"    the load itself was late by up to {seen['lag']} ms: the machine is not quiet")
        if seen.get("unexecuted"):
            say(f"    {seen['unexecuted']} answers that no replica has written down: the records are not whole")
    return runs, reason


def line(seen):
    return ", ".join(f"{name} {value}" for name, value in seen.items() if value is not None and name not in ("requests", "gap"))


def main():
    options = arguments()
    os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"
    prepare()
    rows = chosen(list(filter(None, options.rows.split(","))))
    build(rows, options)
    missing = docker_is_missing() if any(row.driver == "docker" for row in rows) else None
    report = Report(options)
    for row in ROWS:
        for subject in (Evenkeel, *PEERS):
            is_peer, results = subject is not Evenkeel, report.results[subject.name]
            if is_peer and not row.peers:
                continue
            if row in rows and options.peers != ("no" if is_peer else "only"):
                report.forget(row, subject.name)
                runs, reason = ([], missing) if row.driver == "docker" and missing else take(row, subject, report, options)
                say(f"{row.key}, {subject.name}: {'not run: ' + str(reason) if not runs else tables.verdict(row, runs)}\n")
                results.append((row, runs, reason))
            elif runs := report.earlier(row, subject.name):
                results.append((row, runs, None))
        report.write()
    print(report.markdown())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
