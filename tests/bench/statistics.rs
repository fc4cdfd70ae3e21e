//! What a handful of rounds can tell: medians, quartiles, and the smallest difference they could tell from nothing.
//!
//! Pure functions. Every comparison is made inside a round, where the machine was the same, and only then is the
//! median taken over the rounds. Nothing here may leave a round out because it does not fit.

/// For normally distributed values the standard deviation is 1.4826 times the median distance.
const OF_MEDIAN_DISTANCE: f64 = 1.4826;

/// The standard error of a median is √(π/2) times that of a mean.
const OF_MEDIAN: f64 = 1.2533;

/// A difference counts as found at two standard errors (95 %).
const FOUND_AT: f64 = 2.0;

/// One measure in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Without the agent.
    pub(crate) without: f64,
    /// With it.
    pub(crate) with: f64,
    /// Without it once more: against the first, this is the noise.
    pub(crate) again: f64,
    /// Without it, but with the planted delay, in modes that plant one.
    pub(crate) planted: Option<f64>,
}

/// A median and the quartiles around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// One measure over all rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    pub(crate) without: Spread,
    pub(crate) with: Spread,
    /// With by without, inside each round.
    pub(crate) ratio: Spread,
    /// The same by the same: A/A.
    pub(crate) same_ratio: Spread,
    /// With minus without.
    pub(crate) added: Spread,
    /// The same minus the same.
    pub(crate) same_added: Spread,
    /// Planted minus without.
    pub(crate) planted: Option<Spread>,
    /// The smallest difference that these rounds could have told from nothing.
    pub(crate) least: f64,
}

impl Comparison {
    /// Compares. There must be a round.
    pub(crate) fn of(rounds: &[Round]) -> Self {
        let each =
            |value: &dyn Fn(&Round) -> f64| -> Vec<f64> { rounds.iter().map(value).collect() };
        let base = |round: &Round| f64::midpoint(round.without, round.again);
        let same: Vec<f64> = each(&|round| round.again - round.without);
        let planted: Vec<f64> =
            rounds.iter().filter_map(|round| Some(round.planted? - base(round))).collect();
        Self {
            without: Spread::of(&each(&base)),
            with: Spread::of(&each(&|round| round.with)),
            ratio: Spread::of(&each(&|round| round.with / base(round))),
            same_ratio: Spread::of(&each(&|round| round.again / round.without)),
            added: Spread::of(&each(&|round| round.with - base(round))),
            same_added: Spread::of(&same),
            planted: (!planted.is_empty()).then(|| Spread::of(&planted)),
            least: least(&same),
        }
    }
}

/// From the differences of the same with the same, whose true value is nothing: what the median of as many differences
/// of something else from the mean of the two would have to be.
fn least(same: &[f64]) -> f64 {
    let distances: Vec<f64> = same.iter().map(|difference| difference.abs()).collect();
    let of_pairs = OF_MEDIAN_DISTANCE * quantile(&distances, 0.5);
    // A pair has the variance of two single measurements; one against the mean of two has that of one and a half.
    let of_differences = of_pairs * (1.5_f64 / 2.0).sqrt();
    FOUND_AT * OF_MEDIAN * of_differences / (same.len() as f64).sqrt()
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Self {
        Self {
            low: quantile(values, 0.25),
            median: quantile(values, 0.5),
            high: quantile(values, 0.75),
        }
    }
}

/// The value below which that part of all values lies, between two of them in proportion; 0 for none.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = part * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// The mean of the middle half: as firm as a mean, and a timer interrupt or a preemption inside a block does not move it.
pub(crate) fn midmean(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    let middle = &sorted[quarter..sorted.len() - quarter];
    middle.iter().sum::<f64>() / middle.len().max(1) as f64
}

/// The same of those values that were taken while the CPU was ours alone; of all of them if these are fewer than `enough`.
pub(crate) fn midmean_of_alone(values: &[(f64, bool)], enough: usize) -> f64 {
    let mut alone: Vec<f64> =
        values.iter().filter(|(_, alone)| *alone).map(|(value, _)| *value).collect();
    if alone.len() < enough {
        alone = values.iter().map(|(value, _)| *value).collect();
    }
    midmean(&alone)
}
