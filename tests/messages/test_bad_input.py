"""Every bad input against the words its user reads."""

import pytest

from tests.messages.bad_input import CASES, outcome, stored

MESSAGES = stored()


@pytest.mark.parametrize("case", CASES)
def test_message(case):
    assert outcome(case) == MESSAGES[case]


def test_every_message_has_its_case():
    assert list(MESSAGES) == list(CASES)


@pytest.mark.parametrize("case", CASES)
def test_carets_mark_something(case):
    lines = MESSAGES[case].splitlines()
    carets = [i for i, line in enumerate(lines) if line.strip() and not line.strip().strip("^")]
    for i in carets:
        start = lines[i].index("^")
        assert lines[i - 1][start : start + lines[i].count("^")].strip()
