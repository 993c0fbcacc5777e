#!/usr/bin/env python3
"""Writes tests/golden/data/stat.json: what scipy and numpy say. Needs: pip install scipy numpy."""
import json
import pathlib

import numpy
import scipy
from scipy import stats

rng = numpy.random.default_rng(7)
a = rng.lognormal(1.0, 0.1, 12)
b = rng.lognormal(1.2, 0.1, 12)
logs = numpy.log(a / b)
diff = rng.normal(0.01, 0.2, 103)


def t_interval(x, level):
    return list(stats.t.interval(level, len(x) - 1, loc=x.mean(), scale=stats.sem(x)))


def upper(x, level):
    return float(x.mean() + stats.t.ppf(level, len(x) - 1) * stats.sem(x))


runs = [diff[i * 10:(i + 1) * 10] for i in range(9)] + [diff[90:]]
means = numpy.array([r.mean() for r in runs])
boot = stats.bootstrap((logs,), numpy.median, confidence_level=0.95, n_resamples=200000,
                       method="percentile", random_state=1)
out = {
    "made_by": f"make_stat.py, scipy {scipy.__version__}, numpy {numpy.__version__}",
    "normal": [[p, float(stats.norm.ppf(p))] for p in
               (1e-12, 1e-4, 0.025, 0.05, 0.3, 0.5, 0.9, 0.95, 0.975, 0.9999)],
    "t": [[p, df, float(stats.t.ppf(p, df))] for df in (1, 2, 3, 4.5, 9, 30, 299, 100000)
          for p in (0.001, 0.025, 0.05, 0.4, 0.95, 0.975, 0.999)],
    "t_cdf": [[t, df, float(stats.t.cdf(t, df))] for df in (1, 3, 12, 500)
              for t in (-6.0, -1.5, 0.0, 0.2, 2.5)],
    "a": a.tolist(), "b": b.tolist(), "diff": diff.tolist(),
    "mean": float(a.mean()), "sd": float(a.std(ddof=1)),
    "quantiles": [[q, float(numpy.quantile(a, q))] for q in (0, 0.01, 0.25, 0.5, 0.77, 0.99, 1)],
    "t_interval": t_interval(a, 0.95),
    "ratio_t": [float(numpy.exp(logs.mean()))] + numpy.exp(t_interval(logs, 0.95)).tolist(),
    "ratio_bootstrap": [float(numpy.exp(numpy.median(logs))),
                        float(numpy.exp(boot.confidence_interval.low)),
                        float(numpy.exp(boot.confidence_interval.high))],
    "median_ranks": [[n, level, int(stats.binom.ppf((1 - level) / 2, n, 0.5))]
                     for n in (10, 12, 20, 25, 50, 200) for level in (0.9, 0.95, 0.99)],
    "upper_independent": upper(diff, 0.95),
    "upper_runs_of_10": float(diff.mean() + stats.t.ppf(0.95, 9) * means.std(ddof=1) / 10 ** 0.5),
}
path = pathlib.Path(__file__).parent / "data" / "stat.json"
path.write_text(json.dumps(out, indent=1) + "\n")
