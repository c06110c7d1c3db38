"""Elimination of block-diagonal factors, and what they give back.

For one grouping factor the matrix M = Lambda' Z'WZ Lambda + I has one small
block a level. `elimination` takes those blocks out of the cross-products of
everything else and, after the dense remainder has been factorised, `walking_back`
returns to the quantities of each level. A factor in which every eliminated one is
nested (an *ancestor*: pupil, then class, then school) keeps its blocks, so
elimination goes up the chain. Nothing here knows of likelihoods.

Symbols, for level i with K effects: A_i = Z_i'WZ_i; B_i = Z_i'W[other columns];
c_i = Z_i'Wy; D_i = T'A_iT + I = L_i L_i'; V_i = L_i^-1 T'B_i.
"""

from bayeslmm.engine.blocks.conditional_draws import draw_levels
from bayeslmm.engine.blocks.directions import fold_directions
from bayeslmm.engine.blocks.elimination import eliminate, update_ancestor
from bayeslmm.engine.blocks.full import eliminate_full, walk_back_full
from bayeslmm.engine.blocks.walking_back import walk_back

__all__ = [
    "draw_levels",
    "eliminate",
    "eliminate_full",
    "fold_directions",
    "update_ancestor",
    "walk_back",
    "walk_back_full",
]
