"""`cloudmask fetch`: the public data set."""

from __future__ import annotations

import argparse
import os
import signal

from cloudmask.errors import InputError
from cloudmask.parameters import Parameter, convert, parameters_of
from cloudmask.parser import add_parameters, given_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data set, and a flag for each other field of `FetchOptions`."""
    if os.name != "posix":
        raise InputError("fetch needs Linux or macOS: copy the scenes by other means, or use WSL")
    from cloudmask.fetch.places import KNOWN_PREFIXES

    dataset, *flags = _parameters()
    parser.add_argument("dataset", choices=list(KNOWN_PREFIXES), help=dataset.description)
    add_parameters(parser, flags)


def run(options: argparse.Namespace) -> int:
    """Fetch, or say what would be fetched."""
    from cloudmask.fetch.command import FetchOptions, fetch

    values = convert(FetchOptions, given_flags(options, _parameters()))
    # The destination is handled with care of its own: an interrupted fetch loses nothing.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return fetch(FetchOptions(**values))


def _parameters() -> tuple[Parameter, ...]:
    from cloudmask.fetch.command import FetchOptions

    return parameters_of(FetchOptions)
