"""A kernel hears every request, also one that arrives while it replies."""

import contextlib
import queue
import random
import time

from jupyter_client import KernelManager


def test_no_request_is_left_lying(tmp_path):
    """Requests sent as answers come: ipykernel 7.3.0 was deaf after some thirty to two hundred of them."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        rng, open_requests, sent, end = random.Random(0), set(), 0, time.monotonic() + 6

        def hear(seconds):
            with contextlib.suppress(queue.Empty):
                open_requests.discard(client.get_shell_msg(timeout=seconds)["parent_header"]["msg_id"])

        def hear_all(seconds=60):
            waited = time.monotonic()
            while open_requests and time.monotonic() - waited < seconds:
                hear(0.2)
            assert not open_requests, f"{len(open_requests)} of {sent} requests are not answered within {seconds} s"

        while time.monotonic() < end or sent < 500:
            open_requests |= {client.execute("pass", silent=True), client.kernel_info()}
            sent += 2
            pause = time.monotonic() + rng.uniform(0, 0.004)
            while time.monotonic() < pause:
                hear(0.0005)
            if len(open_requests) > 20:
                hear_all()
        hear_all()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
