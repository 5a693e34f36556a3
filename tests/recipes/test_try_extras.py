"""What the trial of the extras takes for a failure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recipes import try_extras

TESTS = Path(__file__).parents[1]
_REASON = re.compile(r'importorskip\([^)]*?reason="([^"]*)"')


def report(folder: Path, *cases: str) -> Path:
    path = folder / "report.xml"
    inner = "".join(f'<testcase classname="t" name="n">{case}</testcase>' for case in cases)
    path.write_text(f"<testsuites><testsuite>{inner}</testsuite></testsuites>", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("cases", "passed", "words"),
    [
        (("", ""), 2, ""),
        (("", '<skipped message="no folder shared"/>'), 1, ""),
        (('<skipped message="no folder shared"/>',), 0, "no test passed"),
        (("", '<skipped message="could not import &apos;cv2&apos;"/>', ""), 1, "skipped: t::n"),
        (('<failure message="assert 1"/>',), 0, "failure: t::n: assert 1"),
        ((), 0, "no test passed"),
    ],
)
def test_skipping_for_a_package_is_a_failure(
    tmp_path: Path, cases: tuple[str, ...], passed: int, words: str
) -> None:
    count, trouble = try_extras.judge(report(tmp_path, *cases))
    assert count == passed and trouble.startswith(words) and bool(trouble) == bool(words)


def test_what_tests_say_of_a_missing_package_is_understood() -> None:
    reasons = {
        reason
        for path in TESTS.rglob("test_*.py")
        for reason in _REASON.findall(path.read_text("utf-8"))
    }
    assert len(reasons) > 3
    assert not [reason for reason in reasons if not try_extras._PACKAGE.search(reason)]
