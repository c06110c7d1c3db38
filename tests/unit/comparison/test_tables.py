import math

import pytest

from bayeslmm.comparison.tables import Table, column, decimals, number, p_value, tail_labels


def test_decimals_show_the_smallest_value_with_four_digits():
    assert column([612.1002, 35.0717, 654.94]) == ["612.10", "35.07", "654.94"]
    assert decimals([0.0, math.nan]) == 0
    assert column([1e-12, 5e6]) == ["1e-12", "5e+06"]
    assert number(math.nan, 2) == ""


@pytest.mark.parametrize(
    ("p", "words"), [(0.0, "<2e-16"), (1.234e-5, "1.23e-05"), (0.04567, "0.0457"), (1.0, "1")]
)
def test_p_values(p, words):
    assert p_value(p) == words


def test_tail_labels_have_no_rounding_noise():
    assert tail_labels(0.9) == ("5 %", "95 %")
    assert tail_labels(0.99) == ("0.5 %", "99.5 %")


def test_a_group_name_longer_than_its_columns_keeps_the_rows_aligned():
    table = Table(("", "a", "b"), (("x", "1", "2"),), groups=(("a very long name", 2),))
    lines = table.text().splitlines()
    assert len(lines[1]) == len(lines[2])


def test_html_is_escaped():
    page = Table(("<b>",), (("a & <i>",),), caption='"<c>"').html()
    assert "<b>" not in page and "&lt;i&gt;" in page and "&quot;&lt;c&gt;" in page
