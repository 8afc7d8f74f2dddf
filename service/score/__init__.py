"""Scoring tables of any size: prices for each row, without a server.

    from service.score import Options, score

    score("houses.parquet", "priced.parquet", "models/housing", Options(level=0.9, processes=4))

One function prices a chunk, ``Scorer.score``; this process, several of them, a Dask cluster
or Spark call it. Needs the packages of ``requirements/scoring.in`` beside the service's own;
the serving process imports nothing of it.
"""

from service.score.cluster import Dask
from service.score.engines import InProcess, Processes
from service.score.errors import TableError
from service.score.planning import Options
from service.score.run import Progress, Result, score
from service.score.scorer import Scored, Scorer
from service.score.spark import Pricing
from service.score.versions import find, opened

__all__ = [
    "Dask",
    "InProcess",
    "Options",
    "Pricing",
    "Processes",
    "Progress",
    "Result",
    "Scored",
    "Scorer",
    "TableError",
    "find",
    "opened",
    "score",
]
