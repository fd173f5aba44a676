"""A Fréchet distance as a score: value, interval, parts and sizes, the same for every metric that is one."""

from gcbench.core.score import Score
from gcbench.statistics.frechet import frechet_jackknife
from gcbench.statistics.moments import Features, Moments


def frechet_score(reference: "Features | Moments", samples: Features) -> Score:
    """The distance of samples [n,d] from the reference, with its block jackknife.

    detail: the two `parts` of the distance; `sizes` n, n of the reference, d and rank; the jackknife's `left_out`
    values; `warnings` where n ≤ d, because the bias is strong there.

    Raises:
        ValueError: as `frechet_distance`.
    """
    frechet, jack = frechet_jackknife(reference, samples)
    score = Score(
        value=frechet.distance,
        standard_error=jack.standard_error,
        interval=jack.interval,
        n=frechet.n,
        detail={
            "parts": {"mean": frechet.mean_part, "covariance": frechet.covariance_part},
            "sizes": {"n": frechet.n, "n_reference": frechet.n_reference, "d": frechet.d, "rank": frechet.rank},
            "left_out": list(jack.left_out),
        },
    )
    if frechet.n <= frechet.d:
        score.detail["warnings"] = {"n_not_above_d": 1.0}
    return score
