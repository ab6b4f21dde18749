# SPDX-License-Identifier: GPL-2.0
"""What a trial counts, by kind, and how much of each kind it must have done: a trial that has done nothing cannot fail."""

from __future__ import annotations

from dataclasses import dataclass, field


def parse(text: str, kinds: dict[str, int]) -> dict[str, int]:
    """The numbers of KIND=N[,KIND=N…]. Another kind than these, or another text, is a `ValueError`."""
    asked = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in kinds:
            raise ValueError(f"no such kind: {name!r}; there are {', '.join(kinds)}")
        if not (number.isascii() and number.isdecimal()):
            raise ValueError(f"{part!r} is not KIND=N")
        asked[name] = int(number)
    return asked


@dataclass
class Counts:
    """How much was done of each kind, and how much there must be."""

    least: dict[str, int]
    did: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.least = dict(self.least)
        self.did = dict.fromkeys(self.least, 0)

    def ask(self, text: str) -> None:
        """Takes over what KIND=N[,KIND=N…] asks for; other kinds keep their numbers."""
        self.least |= parse(text, self.least)

    def add(self, kind: str, number: int = 1) -> None:
        """Counts something of a kind that there is."""
        self.did[kind] += number

    def few(self) -> list[str]:
        """The kinds of which there are too few: `commits 3 of at least 20`."""
        return [f"{kind} {self.did[kind]} of at least {least}" for kind, least in self.least.items() if self.did[kind] < least]

    def line(self) -> str:
        """The line that a script reads: `did: commits=3 pauses=0 …`."""
        return " ".join(("did:", *(f"{kind}={number}" for kind, number in self.did.items())))

    def text(self) -> str:
        """The same for a reader."""
        return ", ".join(f"{number} {kind.replace('-', ' ')}" for kind, number in self.did.items())

    def tell(self) -> int:
        """Prints what is missing, and the line. Returns the number of kinds of which there are too few."""
        few = self.few()
        for kind in few:
            print(f"too little: {kind}")
        print(self.line(), flush=True)
        return len(few)
