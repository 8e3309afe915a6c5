"""Questions of many points: which chip, network, precision and batch.

axes.py       lists, ranges, names that move together
spec.py       what a SPEC.toml says
points.py     one value for every axis; the digest of what its result depends on
networks.py   a model at a precision, and its file
plan.py       what there is to do, and what is known
tasks.py     points that share what is costly, handed out together
evaluate.py   a point's result, where it is computed
accuracy.py   a network's forecast error on a recording
outcome.py    a result as a row
worker.py     what runs in a worker, and the watch over it
engine.py     this process, or a Dask cluster
store.py      results by digest, in a folder that many may write to
table.py      points and results
query.py      SQL over tables
pareto.py     fronts, with and without intervals
effects.py    what each axis does
page.py       one page of HTML
search.py     points that Optuna asks for
exploring.py  the command

Dask, DuckDB, Optuna and pyarrow come with the extra `explore`, and load when they are needed.
"""

from zapdeploy.callable_packages import make_callable

make_callable(__name__, "zapdeploy.explore.exploring:explore")
