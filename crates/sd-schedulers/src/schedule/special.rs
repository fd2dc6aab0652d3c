//! The quantile of the beta distribution.

/// The value that a symmetric `Beta(shape, shape)` variable stays below with this probability.
///
/// Newton's method on the regularised incomplete beta function, kept inside a shrinking bracket.
pub(crate) fn beta_quantile(probability: f64, shape: f64) -> f64 {
    if probability <= 0.0 {
        return 0.0;
    }
    if probability > 0.5 {
        // Small values keep their digits, those next to 1 would not.
        return 1.0 - beta_quantile(1.0 - probability, shape);
    }
    let log_beta = 2.0 * libm::lgamma(shape) - libm::lgamma(2.0 * shape);
    let density = |x: f64| ((shape - 1.0) * (x.ln() + (-x).ln_1p()) - log_beta).exp();
    let (mut low, mut high) = (0.0, 0.5);
    // The distribution near 0 is `x^shape / (shape B(shape, shape))`.
    let mut x = ((probability * shape).ln() + log_beta).exp().powf(1.0 / shape).clamp(1e-300, 0.5);
    for _ in 0..100 {
        let difference = regularised_beta(x, shape, log_beta) - probability;
        if difference > 0.0 {
            high = x
        } else {
            low = x
        }
        let newton = x - difference / density(x);
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - x).abs() <= 1e-15 * next {
            return next;
        }
        x = next;
    }
    x
}

/// The probability that a symmetric beta variable is below `x`, at most 0.5, by Lentz's continued fraction.
fn regularised_beta(x: f64, shape: f64, log_beta: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let front = (shape * (x.ln() + (-x).ln_1p()) - log_beta).exp() / shape;
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - 2.0 * shape * x / (shape + 1.0));
    let mut fraction = d;
    for m in 1..300 {
        let m = f64::from(m);
        let ahead = shape + 2.0 * m;
        let even = m * (shape - m) * x / ((ahead - 1.0) * ahead);
        let odd = -(shape + m) * (2.0 * shape + m) * x / (ahead * (ahead + 1.0));
        let mut change = 1.0;
        for step in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + step * d);
            c = away_from_zero(1.0 + step / c);
            change = c * d;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    front * fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    // Beta(1/2, 1/2) is the arcsine distribution, Beta(1, 1) the uniform one, Beta(2, 2) has 3 x² - 2 x³.
    #[test]
    fn closed_forms() {
        for percent in 0..=100 {
            let probability = f64::from(percent) / 100.0;
            let arcsine = (std::f64::consts::FRAC_PI_2 * probability).sin().powi(2);
            assert!((beta_quantile(probability, 0.5) - arcsine).abs() < 1e-13, "{probability}");
            assert!((beta_quantile(probability, 1.0) - probability).abs() < 1e-13);
            let x = beta_quantile(probability, 2.0);
            assert!((x * x * (3.0 - 2.0 * x) - probability).abs() < 1e-13);
        }
        assert_eq!((beta_quantile(0.0, 0.6), beta_quantile(1.0, 0.6)), (0.0, 1.0));
    }

    // Reference values: scipy.stats.beta.ppf(p, 0.6, 0.6).
    #[test]
    fn quantiles_of_the_beta_schedule() {
        for (probability, expected) in QUANTILES {
            let found = beta_quantile(probability, 0.6);
            assert!((found - expected).abs() < 1e-12 * expected, "{probability}: {found}");
        }
    }

    const QUANTILES: [(f64, f64); 4] = [
        (0.001, 1.855873851745199e-5),
        (0.05, 0.012554456873611399),
        (0.25, 0.17568037865269498),
        (0.9, 0.9604155944112192),
    ];
}
