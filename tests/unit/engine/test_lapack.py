"""The factorisation that lets other threads run is LAPACK's."""

import numpy as np
import pytest

from bayeslmm.engine.gaussian.parameters import lower_factor
from bayeslmm.engine.lapack import cholesky_in_place


@pytest.mark.parametrize("n", [0, 1, 5, 120])
def test_the_lower_factor_and_nothing_above(n):
    A = np.random.default_rng(n).normal(size=(n, n))
    M = A @ A.T + np.eye(n)
    given = M.copy()
    assert cholesky_in_place(M)
    np.testing.assert_allclose(np.tril(M), np.linalg.cholesky(given), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(np.triu(M, 1), np.triu(given, 1))


def test_what_is_not_positive_definite_is_said():
    assert not cholesky_in_place(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_other_layouts_are_refused():
    for M in (np.asfortranarray(np.eye(3)), np.eye(3, dtype=np.float32)):
        with pytest.raises(ValueError, match="C-contiguous"):
            cholesky_in_place(M)


def test_lower_factors_of_two_columns():
    rng = np.random.default_rng(2)
    for _ in range(200):
        T = rng.normal(size=(2, 2)) * 10.0 ** rng.integers(-6, 7, (2, 1))
        L = lower_factor(T)
        # three columns, the last of them zero, take the general way
        general = lower_factor(np.hstack([T, np.zeros((2, 1))]))
        np.testing.assert_allclose(L, general, rtol=1e-9, atol=0)
        assert L[0, 1] == 0 and (L.diagonal() > 0).all()
    assert lower_factor(np.array([[2.0, 0.0], [1.0, 0.0]])).diagonal().tolist() == [2.0, 0.0]
    assert lower_factor(np.array([[0.0, 0.0], [1.0, 1.0]]))[0].tolist() == [0.0, 0.0]
