"""Owns the view of a fleet over time: asks every few milliseconds, and keeps every change."""
import collections, threading, time

EVERY_SECONDS = 0.005

# A replica at a moment. `life` tells one life of a place from the next one.
Replica = collections.namedtuple("Replica", "name life is_ready state address reason")


class Watch:
    """Changes of a fleet, as (when, the replicas then). Between two of them nothing changed."""

    def __init__(self, look):
        self.look, self.changes, self.is_over, self.longest_gap = look, [], False, 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        last, before = None, time.time()
        while not self.is_over:
            try:
                seen = self.look()
            except (OSError, ValueError, KeyError):
                # Nobody answers, as when the balancer is paused or ends. The next look will tell.
                seen = None
            now = time.time()
            self.longest_gap, before = max(self.longest_gap, now - before), now
            if seen is not None and seen != last:
                self.changes.append((now, seen))
                last = seen
            time.sleep(EVERY_SECONDS)

    def end(self):
        self.is_over = True
        self.thread.join(10)

    def since(self, moment):
        """The change that was valid at a moment, and all later ones."""
        before = [change for change in self.changes if change[0] <= moment]
        return before[-1:] + [change for change in self.changes if change[0] > moment]
