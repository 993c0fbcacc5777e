#!/usr/bin/env python3
"""An event file by TensorBoard's own writer -> data/events.tfevents, for tests/unit/test_events.c.

    python3 -m venv v && v/bin/pip install tensorboard
    v/bin/python tests/golden/make_events.py tests/golden/data/events.tfevents

With a second argument: reads that file with TensorBoard and prints "step tag value" lines (tests/e2e/test_events.sh).
"""
import sys

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def write(path):
    with open(path, "wb") as f:
        w = RecordWriter(f)
        w.write(Event(wall_time=1700000000.25, file_version="brain.Event:2").SerializeToString())
        for step in (1, 127, 128, 300, 5000000000):
            values = [Summary.Value(tag="train/loss", simple_value=8.5 / step),
                      Summary.Value(tag="validation/loss", simple_value=float(step))]
            w.write(Event(wall_time=1700000000.25 + step, step=step,
                          summary=Summary(value=values)).SerializeToString())


def read(path):
    for e in LegacyEventFileLoader(path).Load():
        if e.file_version:
            print(0, e.file_version, e.wall_time)
        for v in e.summary.value:
            print(e.step, v.tag, v.simple_value)


if sys.argv[1] == "--read":
    read(sys.argv[2])
else:
    write(sys.argv[1])
