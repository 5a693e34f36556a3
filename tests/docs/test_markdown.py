"""What the other tests of this folder read of a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.markdown import Block, blocks, commands

PAGE = """\
<!-- setup
a = 1
-->
```python
b = a
```

=== "Python"

    <!-- not run: no weights -->
    ```python
    c = b
    ```

<!-- setup
d = 2
-->
```python
e = d
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "page.md").write_text(PAGE)
    return tmp_path / "page.md"


def test_each_block_has_its_own_setup(page: Path) -> None:
    assert [(b.code, b.setup) for b in blocks(page, "python")] == [
        ("b = a\n", "a = 1\n"),
        ("c = b\n", ""),
        ("e = d\n", "d = 2\n"),
    ]


def test_a_reason_not_to_run_concerns_the_next_block_alone(page: Path) -> None:
    assert [b.skip for b in blocks(page, "python")] == ["", "no weights", ""]


def test_commands_are_split_as_the_shell_does() -> None:
    code = "cp -r a b && anymask models  # all\n"
    code += "anymask segment - \\\n  -o - < in.jpg > out.png | cat\n"
    assert commands(Block(Path(), 1, "bash", code)) == [
        ["cp", "-r", "a", "b"],
        ["anymask", "models"],
        ["anymask", "segment", "-", "-o", "-"],
        ["cat"],
    ]
