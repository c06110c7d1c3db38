"""What was asked, met with data: the `Design` that every other room reads."""

from bayeslmm.design.build import build_design
from bayeslmm.design.design import Design
from bayeslmm.design.encoding import Encoding
from bayeslmm.design.rows import Factor, NewRows, Rows, TermColumns

__all__ = ["Design", "Encoding", "Factor", "NewRows", "Rows", "TermColumns", "build_design"]
