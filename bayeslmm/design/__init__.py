"""What was asked, met with data: the `Design` that every other room reads."""

from bayeslmm.design.build import build_design
from bayeslmm.design.design import Design
from bayeslmm.design.encoding import Encoding
from bayeslmm.design.residual_structures import AR1, CompoundSymmetry, VarianceBy
from bayeslmm.design.rows import Factor, NewRows, Rows, TermColumns

__all__ = [
    "AR1",
    "CompoundSymmetry",
    "Design",
    "Encoding",
    "Factor",
    "NewRows",
    "Rows",
    "TermColumns",
    "VarianceBy",
    "build_design",
]
