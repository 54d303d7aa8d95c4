"""No fault of the reference is forgotten: each is a mode of the matrix, or stands among those left out with its reason."""

from __future__ import annotations

import re

from tests.faults.modes import MODES
from tests.faults.section import LEFT_OUT, MODES_OF
from tests.processes import REPOSITORY
from tests.shared import shared

ALL = {f"U{number:02}" for number in range(1, 43)}
_ROW = re.compile(r"^\| (U\d\d) \|", re.MULTILINE)


def test_every_fault_is_a_mode_or_left_out_with_a_reason() -> None:
    assert MODES_OF.keys() | LEFT_OUT.keys() == ALL
    assert not MODES_OF.keys() & LEFT_OUT.keys()
    for fault, (reason, tests) in LEFT_OUT.items():
        assert reason
        print(f"{fault} is not in the matrix: {reason} ({', '.join(tests) or 'nowhere else'})")


def test_these_are_the_faults_of_the_reference() -> None:
    assert set(_ROW.findall((shared() / "reference" / "reliability.md").read_text())) == ALL


def test_what_is_named_exists() -> None:
    modes = {mode.id for mode in MODES}
    assert [name for names in MODES_OF.values() for name in names if name not in modes] == []
    tests = [path for _, paths in LEFT_OUT.values() for path in paths]
    assert [path for path in tests if not (REPOSITORY / path).is_file()] == []
