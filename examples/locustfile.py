"""A load for Locust (https://locust.io), for those who use it already.

    pip install locust
    locust -f examples/locustfile.py --host http://127.0.0.1:5000 --headless -u 50 -r 50 -t 10s

Every answer is checked, and counted by the replica that gave it; the counts are printed at the end.
`evenkeel lab a1` does the same with far less of the processor for itself.
"""

from collections import Counter

from locust import FastHttpUser, constant, events, task

GREETING = "Hello from Server: "
answers = Counter()


class Client(FastHttpUser):
    """Asks again as soon as it is answered, as the clients of the original system do."""

    wait_time = constant(0)

    @task
    def home(self):
        with self.client.get("/home", catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
                return
            message = response.json().get("message", "")
            if not message.startswith(GREETING):
                response.failure(f"unexpected body: {response.text[:100]}")
                return
            answers[message.removeprefix(GREETING)] += 1


@events.quitting.add_listener
def show(environment, **_):
    print("answers by replica:")
    for replica, count in sorted(answers.items()):
        print(f"  {replica}: {count}")
    if environment.stats.total.num_failures:
        environment.process_exit_code = 1
