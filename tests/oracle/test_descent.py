"""The compiled walk of a small model takes the steps of the general one."""

import numpy as np
import pytest

from bayeslmm.engine.gaussian.crossproducts import compute_crossproducts
from bayeslmm.engine.gaussian.descent import SLIGHT
from bayeslmm.engine.gaussian.moments import moment_start
from bayeslmm.engine.gaussian.newton import descend
from bayeslmm.engine.gaussian.objective import Objective
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.search import Search
from tests.oracle.designs import CASES


@pytest.mark.parametrize("ratio", [None, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("case", list(CASES))
def test_same_walk(case, reml, ratio):
    design = CASES[case].model().design
    cp = compute_crossproducts(design)
    objective = Objective(cp, Layout.of(design, cp.coordinates), reml=reml)
    compiled = Search(objective, joint=False)
    if compiled.small is None:
        pytest.skip("not a small model")
    start = objective.layout.start()
    x = moment_start(cp, objective.layout) if ratio is None else ratio * start
    walked = Search(objective, joint=False)
    expected, _ = descend(walked, walked(x), np.ones(len(x), dtype=bool))
    found, _ = compiled.descend(x)
    # towards a boundary both creep, and stop within SLIGHT of where they would end
    assert found.value == pytest.approx(expected.value, abs=3 * SLIGHT, rel=1e-12)
    # the last digits steer the end of a walk, and nothing before
    same = min(len(walked.trace), len(compiled.trace), 4)
    np.testing.assert_allclose(compiled.trace[:same], walked.trace[:same], rtol=1e-8, atol=1e-7)
