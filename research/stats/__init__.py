"""Scores to effects, intervals and verdicts. Pure functions of arrays; fractions in [0, 1]."""

from research.stats.contrasts import METHODS as METHODS
from research.stats.contrasts import holm as holm
from research.stats.contrasts import many_to_one as many_to_one
from research.stats.dunnett import spread_ratio as spread_ratio
from research.stats.effect import MIN_SEEDS as MIN_SEEDS
from research.stats.effect import Effect as Effect
from research.stats.effect import Verdict as Verdict
from research.stats.effect import mean_and_sd as mean_and_sd
from research.stats.factorial import Term as Term
from research.stats.factorial import factorial as factorial
from research.stats.factorial import terms as terms
from research.stats.screening import benjamini_hochberg as benjamini_hochberg
from research.stats.screening import mcnemar as mcnemar
from research.stats.screening import probability_of_improvement as probability_of_improvement
from research.stats.seeds import chance_of_equivalent as chance_of_equivalent
from research.stats.seeds import seeds_needed as seeds_needed
from research.stats.spread import Spread as Spread
from research.stats.spread import by_cluster as by_cluster
from research.stats.spread import detectable as detectable
from research.stats.spread import spread as spread
from research.stats.spread import t_quantile as t_quantile
