"""Live: a model answers every second, from signals as they come.

    setup = live.Setup.of(data, step=12.0)                 # how signals become windows; data with features="causal"
    session = live.Session(model, setup)
    for answer in live.run(session, live.replay(data.recording("P1"), setup, speed=10)):
        print(answer.time, answer.distribution, answer.told)

`live.streams` takes the place of `live.replay` for sensors of the Lab Streaming Layer, `live.Log` keeps what came and
what was answered, `live.again` goes through it anew. docs/live.md says what is handled and what is not.
"""

from helo.live.arrivals import Arrivals, Event
from helo.live.log import Log, again
from helo.live.session import Answer, Confidence, Session
from helo.live.setup import Setup
from helo.live.sources import Replay, replay, run
from helo.live.streams import streams
from helo.live.tail import Tail

__all__ = [
    "Answer",
    "Arrivals",
    "Confidence",
    "Event",
    "Log",
    "Replay",
    "Session",
    "Setup",
    "Tail",
    "again",
    "replay",
    "run",
    "streams",
]
