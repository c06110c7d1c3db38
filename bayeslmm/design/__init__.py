"""What was asked, met with data: the `Design` that every other room reads."""

from bayeslmm.design.build import build_design
from bayeslmm.design.design import Design, Factor, NewRows, Rows, TermColumns
from bayeslmm.design.encoding import Encoding

__all__ = ["Design", "Encoding", "Factor", "NewRows", "Rows", "TermColumns", "build_design"]
