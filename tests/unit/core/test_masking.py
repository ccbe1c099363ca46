# SPDX-License-Identifier: BSD-3-Clause
"""Secrets are hidden wherever they stand, also over the borders of the pieces a stream comes in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.masking import Mask, MaskedStream

#: Few letters, so that secrets overlap, begin alike and stand within each other.
LETTERS = st.text("ab\n", min_size=1, max_size=5)
SECRETS = st.lists(LETTERS, min_size=1, max_size=4)
PIECES = st.lists(st.text("abc\n", max_size=6), max_size=12)


@given(secrets=SECRETS, pieces=PIECES)
def test_a_stream_in_pieces_is_masked_as_the_whole_text_is(secrets: list[str], pieces: list[str]):
    mask = Mask(secrets)
    stream = MaskedStream(mask)
    shown = []
    for piece in pieces:
        shown.append(stream.feed(piece))
        # Nothing waits that cannot become a secret.
        assert not stream._held or any(secret.startswith(stream._held) and secret != stream._held for secret in secrets)
    shown.append(stream.end())
    assert "".join(shown) == mask.text("".join(pieces))
    assert not any(secret in "".join(shown) for secret in secrets)


def test_the_longer_of_two_secrets_that_begin_alike_is_hidden():
    stream = MaskedStream(Mask(["abcd", "abcdef"]))
    assert [stream.feed("x abcd"), stream.feed("ef y"), stream.feed("abcd"), stream.end()] == ["x ", "*** y", "", "***"]


def test_trees_and_bytes():
    mask = Mask(["pa55word"])
    assert mask.json({"a pa55word": ["pa55word!", 1, None, {"b": ("x", "pa55word")}]}) == {"a ***": ["***!", 1, None, {"b": ("x", "***")}]}
    assert mask.is_in(b"..pa55word..")
    assert mask.is_in("[pa55word]".encode("utf-32-le"))
    assert not mask.is_in(b"..pa55..word")


def test_without_secrets_everything_is_as_it_was():
    mask = Mask()
    assert not mask
    assert mask.text("x") == "x"
    assert mask.split("x") == ("x", "")
    assert not mask.is_in(b"x")
