#!/usr/bin/env python3
"""Writes tests/golden/data/changes.json. Needs: pip install numpy scipy apache-otava.

Change points: scipy's energy distance (of which Q is a multiple) finds the best division by trying all;
Apache Otava, an independent E-divisive, names the change points of whole series. Ratios: numpy
resamples rounds, then repetitions, 40,000 times; scipy.stats.bootstrap does where a round has one."""
import json
import pathlib

import numpy
from scipy import stats

rng = numpy.random.default_rng(11)


def unbiased_energy(x, y):
    m, n = len(x), len(y)
    d = lambda u, v: numpy.abs(numpy.subtract.outer(u, v)).sum()
    # scipy's energy_distance^2 is the V-statistic (divides by m^2, n^2); Q wants the U-statistic.
    v = stats.energy_distance(x, y) ** 2
    u = v + d(x, x) / m ** 2 + d(y, y) / n ** 2 - d(x, x) / (m * (m - 1)) - d(y, y) / (n * (n - 1))
    return m * n / (m + n) * u


def best(x, least):
    q = [(unbiased_energy(x[:t], x[t:k]), t) for t in range(least, len(x) - least + 1)
         for k in range(t + least, len(x) + 1)]
    return max(q)


def otava(x):
    from otava.analysis import compute_change_points_orig
    points = compute_change_points_orig(x, max_pvalue=0.02, seed=1)[0]
    return sorted(int(p.index) for p in points)


series = []
for shifts in ([(0, 24)], [(0, 20), (3, 20)], [(0, 15), (2.5, 18), (-1, 15)]):
    x = numpy.concatenate([rng.normal(s, 1, n) for s, n in shifts]).round(6)
    q, tau = best(x, 5)
    series.append({"x": x.tolist(), "best_q": q, "best_at": tau, "changes": otava(x.tolist()),
                   "energy": [[t, unbiased_energy(x[:t], x[t:])] for t in (2, 7, len(x) // 2, len(x) - 2)]})

ratios = []
for rounds, reps in ((12, 1), (15, 3), (30, 4)):
    drift = rng.lognormal(0, 0.03, (rounds, 1))
    a = (1.05 * drift * rng.lognormal(0, 0.02, (rounds, reps))).round(6)
    b = (drift * rng.lognormal(0, 0.02, (rounds, reps))).round(6)
    draws = []
    for _ in range(40000):
        k = rng.integers(0, rounds, rounds)[:, None]
        da = numpy.median(a[k, rng.integers(0, reps, (rounds, reps))], axis=1)
        db = numpy.median(b[k, rng.integers(0, reps, (rounds, reps))], axis=1)
        draws.append(numpy.median(numpy.log(da / db)))
    logs = numpy.log(numpy.median(a, axis=1) / numpy.median(b, axis=1))
    row = {"rounds": rounds, "reps": reps, "a": a.ravel().tolist(), "b": b.ravel().tolist(),
           "point": float(numpy.exp(numpy.median(logs))),
           "interval": numpy.exp(numpy.quantile(draws, [0.025, 0.975])).tolist()}
    if reps == 1:
        ci = stats.bootstrap((logs,), numpy.median, method="percentile", n_resamples=100000,
                             random_state=1).confidence_interval
        row["scipy"] = numpy.exp([ci.low, ci.high]).tolist()
    ratios.append(row)

path = pathlib.Path(__file__).parent / "data" / "changes.json"
path.write_text(json.dumps({"series": series, "ratios": ratios}) + "\n")
