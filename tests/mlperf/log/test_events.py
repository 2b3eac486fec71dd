"""Events of a log whose fields can hold anything."""

import json

import pytest

from cloudmask.errors import InputError
from cloudmask.mlperf.log.events import EventLog, event_of, number
from cloudmask.mlperf.log.lines import FileLine, log_line

GOOD = {"time_ms": 1500, "key": "eval_accuracy", "value": 0.9, "metadata": {"epoch_num": 2}}


def event(**changes):
    return event_of(log_line(FileLine(1, ":::MLLOG " + json.dumps({**GOOD, **changes}))))


def write(path, *events):
    """A log of pairs of a key and a time in milliseconds; the value is the line number."""
    lines = [
        ":::MLLOG " + json.dumps({**GOOD, "key": key, "time_ms": time_ms, "value": number})
        for number, (key, time_ms) in enumerate(events, 1)
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_an_event_has_the_fields_of_its_line():
    found = event()
    assert (found.key, found.value, found.number) == ("eval_accuracy", 0.9, 0.9)
    assert (found.seconds, found.epoch, found.metadata("absent")) == (1.5, 2, None)
    assert found.valid


@pytest.mark.parametrize("value", [None, True, "1", [1], {}, float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_is_none(value):
    assert number(value) is None
    assert event(value=value).number is None
    assert event(time_ms=value).seconds is None
    assert event(metadata={"epoch_num": value}).epoch is None


def test_numbers_are_floats():
    assert [number(value) for value in (0, -3, 2.5)] == [0.0, -3.0, 2.5]


@pytest.mark.parametrize("stamp", [0, -1])
def test_a_time_before_1970_is_none(stamp):
    assert event(time_ms=stamp).seconds is None


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({"time_ms": 0}, True),
        ({"time_ms": 1e14 - 1}, True),
        ({"time_ms": 1e14}, False),
        ({"time_ms": -1e14}, False),
        ({"time_ms": True}, False),
        ({"key": 7}, False),
        ({"metadata": None}, True),
        ({"metadata": []}, False),
        ({"value": [[]]}, True),
    ],
)
def test_an_event_is_valid_if_its_fields_have_their_types(changes, valid):
    assert event(**changes).valid == valid


def test_fields_of_other_types_are_empty():
    assert event(key=[1]).key == ""
    assert event(metadata="text").metadata("epoch_num") is None


def test_a_line_without_a_record_is_no_event():
    assert event_of(None) is None
    assert event_of(log_line(FileLine(1, ":::MLLOG {"))) is None


def test_events_are_read_by_key_in_the_order_of_the_file(tmp_path):
    log = EventLog(write(tmp_path / "log.txt", ("a", 1), ("b", 2), ("a", 3)))
    assert [event.value for event in log.all("a")] == [1, 3]
    assert (log.last_value("a"), log.last_value("c")) == (3, None)
    assert log.only("b").line.number == 2
    assert log.all("c") == []
    for key, count in (("a", 2), ("c", 0)):
        with pytest.raises(InputError, match=f"'{key}' occurs {count} times, expected once"):
            log.only(key)


def test_the_duration_of_intervals_is_the_sum_of_those_that_are_complete(tmp_path):
    log = EventLog(
        write(
            tmp_path / "log.txt", ("on", 0), ("off", 1500), ("on", 2000), ("off", 5000), ("on", 9)
        )
    )
    assert log.total_seconds("on", "off") == 4.5
    assert log.total_seconds("on", "never") is None


def test_an_invalid_line_is_named_or_skipped(tmp_path):
    path = write(tmp_path / "log.txt", ("a", 1), ("a", 1e15), ("a", 2))
    with pytest.raises(InputError, match=r"log\.txt: line 2 is not a valid MLLOG line"):
        EventLog(path)
    assert [event.value for event in EventLog(path, skip_invalid=True).all("a")] == [1, 3]
