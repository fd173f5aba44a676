"""FID@n: do the images look real to the Inception network of 2015?"""

from gcbench.metrics.fd import FD


class FID(FD):
    """|m_r - m_g|² + tr(S_r + S_g - 2 (S_r S_g)^½) on the 2048 pooled Inception features of the images.

    m [d] and S [d,d] are the mean and the sample covariance (divisor n - 1); r: real images of the split; g: the
    samples. In squared units of the features. The network is that of 2015-12-05; how images are brought to its size
    (`tf1`, `clean`) is in the evaluator's id, and two resizes are two protocols.

    Bias: too large in small samples, by a term in 1/n, strongly where n ≤ d = 2048: a value at one n says nothing of a
    value at another, so n is part of the name, FID@n. Below n of some ten thousand it serves to compare models at equal
    n, not to compare with the literature. Interval: jackknife over groups, for the expectation at this n. n, d and rank
    are in the detail, and a warning where n ≤ d. Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update
    Rule Converge to a Local Nash Equilibrium".
    """

    roles = ("inception",)
    alternative = None
    title = "FID@n"
    summary = "Fréchet distance between real and generated images on the Inception features of 2015, at this n"
