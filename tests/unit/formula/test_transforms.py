"""Transforms against R 4.2: poly(), splines::bs(), scale()."""

import numpy as np
import pandas as pd
import pytest

from bayeslmm.errors import DataError
from bayeslmm.formula.transforms import Poly, Scale, Splines, log, round_

X = np.array([2.1, 3.7, 0.4, 5.9, 4.4, 1.2, 7.7, 6.1])
NEW = np.array([0, 2.5, 9])

# poly(x, 3); predict(poly(x, 3), c(0, 2.5, 9))
POLY = """
-0.269932508446631,-0.173851830649024,0.481238249784498
-0.0348892357856188,-0.412974878513116,0.193111920882528
-0.519665985648956,0.484136142849225,-0.453616164626608
0.288295264123272,-0.139849464015628,-0.395141640546632
0.0679421960035738,-0.401671287964411,-0.0569775673786112
-0.40214434931845,0.122654777548319,0.210463187380185
0.552718945866911,0.602016444285718,0.411368060246463
0.317675673205899,-0.080459903541084,-0.390446045741824
"""
POLY_NEW = """
-0.578426803814209,0.699436802838087,-0.971418641690406
-0.211171690281378,-0.268192569953455,0.479056621186517
0.743691604903982,1.42796829890708,2.48449495240724
"""
# poly(2000:2006, 3)
POLY_YEARS = """
-0.566946709513841,0.545544725589981,-0.408248290463863
-0.377964473009227,0,0.408248290463863
-0.188982236504614,-0.327326835353988,0.408248290463863
0,-0.436435780471985,0
0.188982236504614,-0.327326835353989,-0.408248290463863
0.377964473009227,0,-0.408248290463863
0.566946709513841,0.545544725589981,0.408248290463863
"""
# bs(x, df = 5); predict at c(0.5, 2.5, 7)
BS = """
0.494958982321628,0.431152437770257,0.0602698834594153,0,0
0.0710313253012047,0.526880263375057,0.385000669775829,0.0170877415479091,0
0,0,0,0,0
0,0.0685558446443685,0.449175436348882,0.471995027875,0.0102736911317499
0.0144578313253012,0.376555754380174,0.531350559239958,0.0776358550545674,0
0.59340903502093,0.135959040210927,0.00628092414639133,0,0
0,0,0,0,1
0,0.0481489608476224,0.388696809931928,0.534963220754928,0.0281910084655215
"""
BS_NEW = """
0.125774868584234,0.00261629126906868,1.22674299734206e-05,0,0
0.352227484098775,0.533951054785366,0.113608668983848,0,0
0,0.00403200526629259,0.10350565464186,0.555814029086669,0.336648311005178
"""
# bs(x, knots = c(2, 5), degree = 2, intercept = TRUE) at c(0, 2.5, 9)
BS_OUTSIDE = """
1.5625,-0.584239130434783,0.0217391304347826,0,0
0,0.452898550724638,0.532481566234427,0.0146198830409357,0
0,0,0.109811565951917,-1.30459894592448,2.19478737997256
"""


def table(text):
    return np.array([[float(v) for v in row.split(",")] for row in text.split()])


def test_poly_is_r_s_and_remembers():
    poly = Poly()
    np.testing.assert_allclose(poly(pd.Series(X), 3), table(POLY), rtol=0, atol=1e-13)
    np.testing.assert_allclose(poly(NEW, 3), table(POLY_NEW), rtol=0, atol=1e-12)


def test_poly_of_years():
    years = np.arange(2000, 2007)
    np.testing.assert_allclose(Poly()(years, 3), table(POLY_YEARS), rtol=0, atol=1e-12)


def test_raw_poly_is_powers():
    np.testing.assert_array_equal(Poly()(X, 3, raw=True), np.column_stack([X, X**2, X**3]))


@pytest.mark.parametrize("degree", [0, -1, 1.5, True])
def test_poly_refuses_degrees(degree):
    with pytest.raises(DataError, match="degree"):
        Poly()(X, degree)


def test_poly_needs_more_values_than_its_degree():
    with pytest.raises(DataError, match="more than 2 different values"):
        Poly()(np.array([0, 1, 0, 1]), 2)


def test_bs_is_r_s_and_remembers():
    spline = Splines()
    np.testing.assert_allclose(spline(X, df=5), table(BS), rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        spline(np.array([0.5, 2.5, 7]), df=5), table(BS_NEW), rtol=0, atol=1e-13
    )


def test_bs_beyond_its_bounds():
    spline = Splines()
    spline(X, knots=[2, 5], degree=2, intercept=True)
    got = spline(NEW, knots=[2, 5], degree=2, intercept=True)
    np.testing.assert_allclose(got, table(BS_OUTSIDE), rtol=0, atol=1e-12)


def test_bs_without_df_has_no_inner_knots():
    assert Splines()(X).shape == (8, 3)


@pytest.mark.parametrize(
    "options", [{"df": 2}, {"df": 3.5}, {"knots": [9]}, {"lower_bound": 5, "upper_bound": 1}]
)
def test_bs_refuses(options):
    with pytest.raises(DataError, match="bs"):
        Splines()(X, **options)


def test_scale_divides_by_n_minus_one():
    scale = Scale()
    np.testing.assert_allclose(scale(X), (X - X.mean()) / X.std(ddof=1), rtol=1e-14)
    np.testing.assert_allclose(scale(NEW), (NEW - X.mean()) / X.std(ddof=1), rtol=1e-14)


def test_scale_without_center_or_scale():
    np.testing.assert_allclose(Scale()(X, center=False)[0], 0.42566873523973031, rtol=1e-14)
    np.testing.assert_allclose(Scale()(X, scale=False), X - X.mean(), rtol=0, atol=1e-15)


def test_scale_refuses_a_constant():
    with pytest.raises(DataError, match="varies"):
        Scale()(np.ones(4))


@pytest.mark.parametrize("transform", [Scale(), Poly(), Splines()])
def test_numeric_columns_only(transform):
    with pytest.raises(DataError, match="numeric"):
        transform(pd.Series(["a", "b"]))


def test_log_and_round():
    assert log(8, 2) == pytest.approx(3)
    assert log(np.e) == 1
    assert round_(2.345, 1) == 2.3
