"""The models that are sampled, with their data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd
from cases import bundled
from unbalanced import unbalanced


@dataclass(frozen=True)
class Sampled:
    """A model, its data, and how long a contestant may sample it.

    `limit` is in seconds; a `slow` model is sampled by ours alone unless asked otherwise.
    """

    name: str
    formula: str
    make: Callable[[], pd.DataFrame]
    limit: float = 600.0
    slow: bool = False


MODELS = {
    m.name: m
    for m in (
        Sampled(
            "sleepstudy",
            "Reaction ~ Days + (Days | Subject)",
            partial(bundled, "sleepstudy", quick=False),
        ),
        Sampled(
            "Penicillin",
            "diameter ~ 1 + (1 | plate) + (1 | sample)",
            partial(bundled, "Penicillin", quick=False),
        ),
        Sampled(
            "unbalanced",
            "y ~ x + (1 | f) + (1 | g)",
            partial(unbalanced, 3_500, (150, 19)),
        ),
        Sampled(
            "InstEval",
            "y ~ 1 + service + (1 | s) + (1 | d) + (1 | dept)",
            partial(bundled, "InstEval", quick=False),
            limit=1_200.0,
            slow=True,
        ),
    )
}
