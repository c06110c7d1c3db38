"""What a user holds: one-line methods over the rooms below."""

from bayeslmm.fits.point import PointFit
from bayeslmm.fits.posterior import PosteriorFit

__all__ = ["PointFit", "PosteriorFit"]
