"""KID: the kernel distance between real and generated images on the features of Inception or of a named encoder."""

from collections.abc import Mapping
from typing import ClassVar

from gcbench.core.score import Score
from gcbench.metrics.pooled import PooledMetric
from gcbench.statistics.kernel import kernel_distance
from gcbench.statistics.sample_rows import SampleRows


class KID(PooledMetric):
    """The unbiased MMD² with the kernel (x·y / d + 1)³ between pooled Inception features [n,d], the mean over subsets.

    `--evaluator encoder=…` takes that encoder's features instead, and the number is then called after it, such as
    KID(DINOv2-L); others call that KD.

    A subset holds `subset_size` = 1000 rows of the samples and as many of the reference, or as many as the smaller set
    has, drawn without replacement from a seed of its own; there are `subsets` = 100 of them, or one if it holds all.
    The unit is MMD²; many papers report it times 1000.

    Bias: none, so values of different n estimate one number, and values below 0 are in order. Interval: jackknife
    of the mean over subsets, a group of samples left out of each, with the variance of the draw of subsets added, for
    the expectation at this n with the reference fixed. The standard deviation over subsets, which is usually printed
    behind the ±, is in the detail: it is no standard error, for it depends on the size of a subset and not on n.
    Source: Bińkowski et al. 2018, "Demystifying MMD GANs".
    """

    roles = ("inception",)
    alternative = ("encoder", "KID({})")
    direction = "lower"
    unit = "MMD²"
    title = "KID"
    summary = "Kernel distance between real and generated images on Inception features, without bias at small n"
    axis = "realism"
    thresholds: ClassVar[Mapping[str, float]] = {"subsets": 100, "subset_size": 1000}
    reference: SampleRows

    def score(self) -> Score:
        real, made = self.reference.in_order(), self._samples.in_order()  # float32 [m,d], [n,d]
        count, size = int(self.thresholds["subsets"]), int(self.thresholds["subset_size"])
        kernel = kernel_distance(real, made, count, size, groups=made.groups)
        return self.scored(
            kernel.jackknife,
            n=len(made),
            detail={
                "subsets": {"count": kernel.subsets, "size": kernel.size, "standard_deviation": kernel.sd},
                "sizes": {"n": len(made), "n_reference": len(real), "d": made.shape[1]},
                **kernel.jackknife.detail(),
            },
        )
