# SPDX-License-Identifier: GPL-2.0
"""What a step of the tests found."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Result:
    """How a command in the guest ended."""

    problem: str  # empty: it succeeded
    complaints: list[str]  # reports of the kernel, which are failures
    output: list[str]

    @property
    def failed(self) -> bool:
        return bool(self.problem or self.complaints)


@dataclass
class Counts:
    """The tests of a step."""

    passed: int = 0
    failed: int = 0
    note: str = ""
    details: list[str] = field(default_factory=list)  # what is shown if the step failed
    times: dict[str, float] = field(default_factory=dict)  # seconds of the host, by test

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            ", ".join(note for note in (self.note, other.note) if note),
            self.details + other.details,
            self.times | other.times,
        )

    def judged(self, result: Result, shown: int = 80) -> "Counts":
        """These counts of a command's tests, with how the command ended: it cannot pass where the command failed or ran no test."""
        if result.complaints:
            self.failed += 1
            self.note = f"the kernel complained {len(result.complaints)} times"
        elif not self.failed and (result.problem or not self.passed):
            self.failed = 1
        if self.failed:
            self.details += [*result.complaints[:3], *result.output[-shown:]]
        return self
