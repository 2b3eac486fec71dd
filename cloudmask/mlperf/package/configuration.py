"""The blocks of config.yaml that submit.adoc of MLCommons Science asks for: source and data."""

from typing import Any

from cloudmask import __version__
from cloudmask.fetch.places import BUCKET, ENDPOINT, KNOWN_PREFIXES
from cloudmask.mlperf.score.setting import Setting
from cloudmask.source import NoHistoryError, run_git

# Commands that bring the data of a run; those of DS1 and DS2 need no credentials.
_COMMANDS = {
    **{
        name: (
            f"cloudmask fetch {name} --dest data/{name}",
            f"aws s3 sync --no-sign-request --endpoint-url {ENDPOINT} s3://{BUCKET}/{prefix} "
            f"data/{name}",
        )
        for name, (prefix, *_) in KNOWN_PREFIXES.items()
    },
    "synthetic": ("cloudmask synthesize --dest data/synthetic",),
    "twin": ("cloudmask synthesize --like ds1 --dest data/twin",),
}


def submission_blocks(setting: Setting) -> dict[str, Any]:
    """`github`, the version of the source, and `data`, the commands that bring the data."""
    github = {
        "description": "CloudMask: cloud segmentation of SLSTR scenes, timed to the target",
        "repo": _repository() or "scripts, beside this file",
        "branch": "main",
        "version": __version__,
        "tag": setting.commit,
    }
    commands = _COMMANDS.get(setting.dataset, ("the submitter's own scenes: give their address",))
    return {"github": github, "data": list(commands)}


def _repository() -> str:
    """The public address of this repository; '' if it has none."""
    try:
        address = run_git("remote", "get-url", "origin").decode().strip()
    except NoHistoryError:
        return ""
    return address if address.startswith("https://") and "@" not in address else ""
