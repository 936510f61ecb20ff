"""What `python -m helo live` does, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from helo.data import wesad
from helo.data.emotion_data import Recording
from helo.data.simulated import load as simulated
from helo.data.wesad_people import people_of
from helo.live.log import ABOUT, Log, again
from helo.live.session import Answer, Confidence, Session
from helo.live.setup import Setup
from helo.live.sources import replay, run
from helo.live.streams import streams
from helo.models import EmotionModel
from helo.reading import expanded


def listen(
    network: EmotionModel,
    setup: Path,
    recorded: str,
    sensors: Sequence[str],
    subject: str = "",
    speed: float = 1.0,
    seconds: float = np.inf,
    log: str = "",
    confidence: Confidence | None = None,
) -> Iterator[str]:
    """Lines to print: an answer each.

    Args:
        network: the model.
        setup: file of its setup; a log has its own.
        recorded: a log's folder, "simulated", WESAD's folder; or "".
        sensors: a name of streams; or MODALITY=NAME for each; or none.
        subject: whose recording; "": the first.
        speed: of a replay.
        seconds: when to end.
        log: a new folder; "": nothing is kept.
        confidence: says how sure the model is.

    Raises:
        ValueError: neither a recording nor streams are named, or both; several names without a modality; or what those
            who read them say.
    """
    named = dict(x.split("=", 1) for x in sensors if "=" in x)
    _check_options(recorded, sensors, named, subject, speed, seconds)
    if recorded and (expanded(recorded) / ABOUT).exists():
        if subject or log or seconds < np.inf or speed != 1:
            options = "--subject, --speed, --seconds or --log"
            raise ValueError(f"{recorded}: is a log, gone through whole; expected no {options}")
        yield from _again(recorded, network, confidence)
        return
    cut = Setup.load(setup)
    session = Session(network, cut, confidence=confidence)
    source = (
        replay(recording_of(recorded, subject), cut, speed)
        if recorded
        else streams(cut, named if named else sensors[0])
    )
    delays = []
    with Log(log, session) if log else nullcontext() as kept:
        for answer in run(session, source, log=kept, seconds=seconds):
            delays.append(answer.delay)
            yield line(answer, cut.emotions)
    if delays:
        told = f"{1e3 * np.median(delays):.0f} ms, the slowest {1e3 * max(delays):.0f} ms"
        yield f"{len(delays)} answers, from a window's end to its answer {told}"


def _check_options(recorded, sensors, named, subject, speed, seconds):
    if bool(recorded) == bool(sensors):
        raise ValueError("expected either --replay or --stream")
    if len(sensors) > max(1, len(named)):
        raise ValueError(
            f"found --stream {' --stream '.join(sensors)}; expected one --stream NAME, or one MODALITY=NAME for each"
        )
    if not seconds > 0 or not speed > 0:
        raise ValueError(
            f"seconds is {seconds:g} and speed {speed:g}; expected numbers above 0 (0 of the command: no limit)"
        )
    if sensors and (subject or speed != 1):
        raise ValueError("--subject and --speed are of a recording; expected neither with --stream")


def recording_of(place: str, subject: str = "") -> Recording:
    """A recording of the simulated study or of WESAD's folder; of the first person, where none is named."""
    if place == "simulated":
        data = simulated()
        assert data.recording is not None
        return data.recording(subject or str(data.subjects[0]))
    return wesad.recording(place, subject or people_of(expanded(place))[0])


def line(answer: Answer, emotions: Sequence[str], most: int = 3) -> str:
    """An answer in a line: its time, the strongest emotions, and what is not as it should be."""
    said = "nothing is seen"
    if answer.distribution is not None:
        order = np.argsort(-answer.distribution, kind="stable")[:most]
        said = ", ".join(f"{emotions[k]} {answer.distribution[k]:.2f}" for k in order)
    return f"{answer.time:6.0f} s  {said}" + "".join(f"  ({told})" for told in answer.told)


def _again(folder, network, confidence):
    count = other = 0
    for answer, then in again(folder, network, confidence):
        count += 1
        now = answer.distribution
        same = then is None if now is None else then is not None and np.array_equal(now, then)
        other += not same
        yield line(answer, network.layout.emotions)
    yield f"{count} answers, " + (f"{other} of them other than logged" if other else "the same bits as logged")
