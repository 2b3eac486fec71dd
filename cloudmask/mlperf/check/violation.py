"""What a check objects to."""

from dataclasses import dataclass

LONGEST_QUOTE = 600


@dataclass(frozen=True)
class Violation:
    """One thing that breaks a rule, or, where `odd`, is only worth a look.

    `key` and `line` (the line of the file, from 1) are None where there is none; `problem` is the
    test that failed or a sentence; `text` is the line in question.
    """

    key: str | None
    line: int | None
    problem: str
    text: str = ""
    odd: bool = False

    def __str__(self) -> str:
        """A block of one or two lines: where and what, then the line, fit to be shown."""
        where = [self.key] if self.key else []
        where += [f"line {self.line}"] if self.line is not None else []
        head = ": ".join([", ".join(where), self.problem] if where else [self.problem])
        if not self.text:
            return _shown(head)
        more = " ..." if len(self.text) > LONGEST_QUOTE else ""
        return f"{_shown(head)}\n    {_shown(self.text[:LONGEST_QUOTE])}{more}"


def _shown(text: str) -> str:
    """Without what a terminal would obey: a damaged file holds any byte."""
    return "".join(x if x.isprintable() or x == "\n" else "\N{REPLACEMENT CHARACTER}" for x in text)
