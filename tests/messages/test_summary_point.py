"""What a summary says, word for word."""

import warnings

import numpy as np
import pytest

import bayeslmm as bl

SLEEPSTUDY = """\
Linear mixed model fit by REML
Formula: Reaction ~ Days + (Days | Subject)

   AIC    BIC logLik REML criterion npar
1755.6 1774.8 -871.8         1743.6    6

Scaled residuals:
     Min      1Q Median     3Q    Max
 -3.9536 -0.4634 0.0231 0.4634 5.1793

Random effects:
 Groups   Name      Variance Std.Dev. SE(SD) Corr
 Subject  Intercept   612.09   24.740   5.84
          Days         35.07    5.922   1.25 0.07
 Residual             654.94   25.592   1.51
Number of obs: 180, groups:  Subject, 18
Rows per level: Subject 10

Fixed effects:
           Estimate Std. Error    df t value Pr(>|t|)   2.5 %  97.5 %
 Intercept  251.405      6.825 17.00  36.838   <2e-16 237.007 265.804
 Days        10.467      1.546 17.00   6.771 3.26e-06   7.206  13.729
p-values and 95 % intervals by t with Satterthwaite's degrees of freedom (df_method
  "satterthwaite")"""

NORMAL = """\
           Estimate Std. Error z value Pr(>|z|)   2.5 %  97.5 %
 Intercept  251.405      6.825  36.838   <2e-16 238.029 264.781
 Days        10.467      1.546   6.771 1.27e-11   7.438  13.497
p-values and 95 % intervals by the standard normal (df_method "normal")"""


@pytest.fixture(scope="module")
def sleep():
    return bl.Model("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))


def test_sleepstudy(sleep):
    assert str(sleep.fit().summary()) == SLEEPSTUDY
    assert repr(sleep.fit().summary()) == str(sleep.fit().summary())
    assert str(sleep.fit(df_method="normal").summary()).endswith(NORMAL)


def test_a_singular_fit_says_what_that_means():
    with pytest.warns(bl.SingularFitWarning):
        text = str(bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff2")).summary())
    assert " Batch    Intercept     0.00    0.000\n" in text
    assert "SE(SD) is empty on the boundary, where there is none" in text
    assert "Convergence: converged on the boundary\nmeaning: a variance is estimated as" in text
    assert "advice:" in text


def test_methods_are_named_and_map_has_no_aic(sleep):
    assert str(sleep.fit("ML").summary()).startswith("Linear mixed model fit by maximum likelihood")
    assert " deviance npar\n" in str(sleep.fit("ML").summary())
    text = str(sleep.fit("MAP").summary())
    assert text.startswith("Linear mixed model fit by MAP (joint posterior mode")
    assert "AIC and BIC are not defined for a posterior mode" in text


def test_left_out_rows_and_dropped_columns_are_said():
    data = bl.load_dataset("sleepstudy")
    data["twice"] = 2 * data["Days"]
    data["w"] = 1.0
    data.loc[[2, 7], "Days"] = np.nan
    data.loc[9, "w"] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = bl.fit("Reaction ~ Days + twice + (1 | Subject)", data, weights="w")
    text = str(fit.summary())
    assert "Left out: 2 rows with missing values (Days 2)" in text
    assert "Of these, 1 rows have weight zero" in text
    assert "Dropped, as other columns determine them: twice" in text
    assert "Rows per level: Subject 8 to 10" in text


def test_exclude_and_no_random_effects():
    data = bl.load_dataset("sleepstudy")
    data.loc[2, "Days"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        padded = bl.fit("Reaction ~ Days + (1 | Subject)", data, na_action="exclude")
        dropped = bl.fit("Reaction ~ Days + (1 | Subject)", data)
    assert str(padded.summary()) == str(dropped.summary())
    text = str(bl.fit("Reaction ~ Days", bl.load_dataset("sleepstudy")).summary())
    assert text.startswith("Linear model fit by REML")
    assert "Number of obs: 180\n" in text
    none = bl.fit("Reaction ~ 0 + (1 | Subject)", bl.load_dataset("sleepstudy"))
    assert "Fixed effects: none" in str(none.summary())


def test_correlations_of_three_columns_and_of_independent_ones(sleep):
    with pytest.warns(bl.SingularFitWarning):
        fit = bl.fit("angle ~ 1 + (0 + recipe | replicate)", bl.load_dataset("cake"))
    rows = str(fit.summary()).split("Random effects:\n")[1].splitlines()
    assert rows[0].endswith("Corr")
    corr = fit.varcorr.dropna(subset="corr")["corr"]
    assert rows[3].split()[-2:] == [f"{c:.2f}" for c in corr.iloc[[1, 2]]]
    text = str(sleep.update("Reaction ~ Days + (Days || Subject)").fit().summary())
    assert "Corr" not in text


def test_html_is_complete_and_escaped():
    data = bl.load_dataset("sleepstudy").rename(columns={"Days": "<b>days</b>"})
    fit = bl.fit("Reaction ~ `<b>days</b>` + (1 | Subject)", data)
    page = fit.summary()._repr_html_()
    assert "<b>days</b>" not in page and "&lt;b&gt;days&lt;/b&gt;" in page
    for words in ("Scaled residuals", "Std. Error", "Satterthwaite", "Rows per level"):
        assert words in page
    assert "http" not in page
