"""What a likelihood of data is of: a probability of levels, or a density; and how it becomes bits."""

import math
from typing import NamedTuple


class Support(NamedTuple):
    """The values that x can have."""

    levels: int | None  # K, whose k is x = k / (K - 1); None where a likelihood of x is a density without bits
    noisy: bool = False  # x = (k + u) / K with u ~ U[0, 1): a density, which bounds the probability of the K levels
    unsaid: int | None = None  # levels of the data, where the model does not say whether its likelihood is of them

    def bits(self, nats: float, numbers: float) -> float | None:
        """Bits for each number of x.

        Args:
            nats: -log p(x), or a bound on it, of one example.
            numbers: how many x has.

        Returns:
            nats / (numbers log 2), and log2(K) more for a density of x in [0, 1) (Theis et al. 2015,
            arXiv:1511.01844, sec. 3.1), where it is a bound; None where there are none.
        """
        if self.levels is None:
            return None
        return nats / (numbers * math.log(2)) + (math.log2(self.levels) if self.noisy else 0.0)


DENSITY = Support(levels=None)
