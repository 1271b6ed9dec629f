"""Owns how results become text: the verdict of a row, the worst of its runs, and the two tables in Markdown."""

# Of these the smallest is the worst; of everything else the largest.
LEAST = {"ready_min", "agree", "serial", "refused", "reason_told", "undone", "healed", "requests", "moments", "edits", "new", "old"}


def worst(runs):
    """The worst of each figure over all runs; None, a thing that never came, is worst of all."""
    found = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [run[name] for run in runs if name in run]
        if isinstance(values[0], dict):
            found[name] = {key: max(value.get(key, 0) for value in values) for value in values for key in value}
        elif None in values:
            found[name] = None
        else:
            found[name] = (min if name in LEAST else max)(values)
    return found


def verdict(row, runs):
    """Each claim with how many runs kept it, in words; and whether all did."""
    missed, excused = [], False
    for claim in row.claims:
        kept = [claim.holds(run) for run in runs]
        if not all(kept):
            excuses = [holds or bool(claim.excuse and claim.excuse(run)) for holds, run in zip(kept, runs)]
            if all(excuses):
                excused = True
            else:
                missed.append(f"{claim.text} ({excuses.count(False)} of {len(runs)} runs)")
    if missed:
        return "missed: " + "; ".join(missed)
    return "met, but for requests that were inside" if excused else "met"


def figure(value, unit=""):
    if value is None:
        return "–"
    return f"{value:g}{unit}" if isinstance(value, (int, float)) else str(value)


def time_figure(value):
    if value is None:
        return "–"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


def pair(get, post):
    return f"{get} + {post}" if get is not None else "–"


OTHERS = {"healthy_ejected": "healthy ejected", "new_lives": "new lives", "ready_min": "ready at least", "starts": "starts in 5 s", "edits": "edits",
          "deploy": "rollout ms", "add_ms": "/add ms", "moments": "moments", "old": "old wish", "new": "new wish", "neither": "neither",
          "leaked": "leaked", "doubled": "doubled", "inside_post": "POSTs inside"}
SHOWN_ALWAYS = {"edits", "deploy", "add_ms", "moments", "starts", "leaked", "doubled", "neither"}


def others(row, seen):
    """Figures that only some rows have."""
    judged = " ".join(claim.text for claim in row.claims)
    wanted = SHOWN_ALWAYS | ({"new_lives"} if "replaced" in judged else set()) | ({"ready_min"} if "ready" in judged or "empty" in judged else set())
    wanted |= ({"healthy_ejected"} if seen.get("healthy_ejected") and "ejected" in judged else set()) | ({"inside_post"} if seen.get("inside_post") else set())
    return ", ".join(f"{words} {figure(seen[name])}" for name, words in OTHERS.items() if name in wanted and name in seen)


def evenkeel_table(results):
    lines = ["| fault | how | runs | detected after | out of the table after | back after (boot) | lost GET + POST | twice GET + POST | p99 before | during | after 5 s | target | outcome |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for row, runs, reason in results:
        target = "; ".join(claim.text for claim in row.claims)
        if not runs:
            lines.append(f"| {row.fault} | {row.how} | 0 |" + " – |" * 8 + f" {target} | not run: {reason} |")
            continue
        seen = worst(runs)
        back = time_figure(seen.get("back")) + (f" ({time_figure(seen['boot'])})" if seen.get("boot") is not None else "")
        extra = others(row, seen)
        lines.append(f"| {row.fault} | {row.how} | {len(runs)} | {time_figure(seen.get('detected'))} | {time_figure(seen.get('out'))} | {back} | "
                     f"{pair(seen.get('lost_get'), seen.get('lost_post'))} | {pair(seen.get('duplicated_get'), seen.get('duplicated_post'))} | "
                     f"{figure(seen.get('p99_base'), ' ms')} | {figure(seen.get('p99_during'), ' ms')} | {figure(seen.get('p99_after'), ' ms')} | "
                     f"{target} | {verdict(row, runs)}{'; ' + extra if extra else ''} |")
    return "\n".join(lines)


def beside_table(results):
    lines = ["| fault | subject | runs | lost GET + POST | twice GET + POST | p99 before | during | after 5 s | slowest |", "|---|---|---|---|---|---|---|---|---|"]
    by_row = {}
    for name, of_subject in results.items():
        for row, runs, reason in of_subject:
            if row.peers:
                by_row.setdefault(row.fault, []).append((name, runs, reason))
    for fault, subjects in by_row.items():
        for name, runs, reason in subjects:
            if not runs:
                lines.append(f"| {fault} | {name} | 0 |" + " – |" * 5 + f" {reason or ''} |")
                continue
            seen = worst(runs)
            lines.append(f"| {fault} | {name} | {len(runs)} | {pair(seen['lost_get'], seen['lost_post'])} | "
                         f"{pair(seen['duplicated_get'], seen['duplicated_post'])} | {figure(seen['p99_base'], ' ms')} | {figure(seen['p99_during'], ' ms')} | "
                         f"{figure(seen['p99_after'], ' ms')} | {time_figure(seen['slowest'])} |")
    return "\n".join(lines)


def markdown(heading, results):
    """`results` are, by subject, ours first, each row with the figures of its runs, and why there are none."""
    ours, *theirs = results.values()
    text = f"{heading}\n\n{evenkeel_table(ours)}\n"
    if any(theirs):
        text += f"\n### Beside HAProxy and nginx\n\n{beside_table(results)}\n"
    return text
