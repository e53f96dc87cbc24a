"""The simple method beside a language model: its chances are chances, and it knows what it has seen."""

from __future__ import annotations

import numpy as np
import pytest

from applications.text.ngrams import CharacterNgrams

TEXT = "the cat sat on the mat; the cat ate the rat. " * 4


@pytest.mark.parametrize("context", ["", "the c", "zzz", "t"])
def test_chances_add_up_to_one_with_one_place_for_all_others(context):
    ngrams = CharacterNgrams(TEXT, 4)
    known = sum(ngrams.chance(context, character) for character in ngrams.alphabet)
    assert known + ngrams.chance(context, "\N{SNOWMAN}") == pytest.approx(1)


def test_longer_contexts_foresee_better_and_strangers_cost_much():
    held_out = "the cat sat on the mat"
    costs = [CharacterNgrams(TEXT, order).bits(held_out, 5).mean() for order in (1, 2, 4)]
    assert costs[0] > costs[1] > costs[2]
    bits = CharacterNgrams(TEXT, 3).bits("the \N{SNOWMAN}at", 0)
    assert np.argmax(bits) == 4
    assert bits[4] > 20


def test_witten_bell_by_hand():
    ngrams = CharacterNgrams("abab", 2)
    base = 1 / 3
    single = (2 + 2 * base) / (4 + 2)  # b twice of four characters, two different ones
    assert ngrams.chance("", "b") == pytest.approx(single)
    assert ngrams.chance("a", "b") == pytest.approx((2 + 1 * single) / (2 + 1))
