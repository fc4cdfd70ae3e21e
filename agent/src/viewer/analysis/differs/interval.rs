//! When a difference of two shares is certain.
//!
//! Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10), built from two of Wilson's; and the
//! quantile of the normal distribution for as many tests as are made (Bonferroni).

/// Wrong at most once in twenty pages, not tests.
const WRONG: f64 = 0.05;

/// The quantile for two-sided intervals when `tests` of them must hold at once.
pub(super) fn bonferroni(tests: usize) -> f64 {
    quantile(1.0 - WRONG / (2.0 * tests.max(1) as f64))
}

/// The lower end of the interval for the first share less the second; each is a count of so many.
pub(super) fn difference_at_least(a: (usize, usize), b: (usize, usize), z: f64) -> f64 {
    let (p1, lower, _) = wilson(a, z);
    let (p2, _, upper) = wilson(b, z);
    (p1 - p2) - ((p1 - lower).powi(2) + (upper - p2).powi(2)).sqrt()
}

/// A share and its interval; all of it where there is nothing to count.
fn wilson((count, of): (usize, usize), z: f64) -> (f64, f64, f64) {
    if of == 0 {
        return (0.0, 0.0, 1.0);
    }
    let (p, n, z2) = (count as f64 / of as f64, of as f64, z * z);
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    (p, middle - half, middle + half)
}

/// The standard normal quantile for `p` above one half (Abramowitz and Stegun 26.2.23; error below 0.00045).
fn quantile(p: f64) -> f64 {
    let t = (-2.0 * (1.0 - p).ln()).sqrt();
    let over = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let under = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - over / under
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        assert!((quantile(0.975) - 1.959_964).abs() < 0.000_45);
        assert!((quantile(0.999_5) - 3.290_527).abs() < 0.000_45);
        // Newcombe 1998, table II, (a): 56/70 less 48/80 is 0.2, from 0.0524.
        assert!((difference_at_least((56, 70), (48, 80), 1.959_964) - 0.0524).abs() < 0.000_1);
        // (h): 10/10 less 0/10 is 1, from 0.6075.
        assert!((difference_at_least((10, 10), (0, 10), 1.959_964) - 0.6075).abs() < 0.000_1);
        assert!(difference_at_least((5, 5), (0, 0), 2.0) < 0.0);
        assert!(bonferroni(100) > bonferroni(1));
    }
}
