from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymask.errors import InputError
from anymask.formats import json_stream
from anymask.formats.json_stream import entries

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=9,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]))
def test_entries_are_those_of_the_whole(values: list[object], piece: int, indent: int) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    patched = pytest.MonkeyPatch()
    patched.setattr(json_stream, "_PIECE", piece)
    try:
        data = text.encode("utf-8", "surrogatepass")
        assert list(entries(io.BytesIO(b"\xef\xbb\xbf " + data + b" \n"), "x")) == values
    except InputError:
        assert "\\ud" in ascii(text)  # half a pair, which UTF-8 has not
    finally:
        patched.undo()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "expected a list at character 0"),
        (b"{}", "expected a list"),
        (b"[1", "expected ',' or ']' at character"),
        (b"[1,", "Expecting value"),
        (b"[1 2]", "expected ',' or ']'"),
        (b"[1] x", "nothing after the list"),
        (b'["a', "Unterminated string"),
        (b"[tru]", "Expecting value"),
        (b"[" * 100000, "recursion"),
        (b'["\xff"]', "not UTF-8"),
        (b"[" + b"9" * 5000 + b"]", "digits"),
    ],
)
def test_what_is_no_list(data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as told:
        list(entries(io.BytesIO(data), "'x.json'"))
    assert "'x.json'" in str(told.value)
