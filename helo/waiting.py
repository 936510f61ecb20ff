"""How threads wait for each other: asleep; imported before torch, which reads it when it is loaded.

OpenMP's threads spin for a while when they have to wait. Where another process wants the core, the thread that computes
does not get it, and a call of 20 ms takes seconds on two threads (`benchmarks/neighbour.py`). `helo.training.threads`
gives small models one thread; this is for all that computes on several. What the environment says already stays; where
torch was imported before this library, only the environment counts, so `make lab` and `make dashboard` set it for their
kernels.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
