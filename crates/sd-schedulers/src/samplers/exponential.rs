//! Exponential integrators of Adams' kind: the polynomial through values at some places is integrated against the
//! exponential of the log-SNR, exactly.

use super::dpm::Rungs;

/// What is taken as a polynomial, in the equation with noise of strength `tau` (0 for the probability flow).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Integrand {
    /// The predicted clean latents.
    Clean {
        /// Strength of the noise.
        tau: f64,
    },
    /// The predicted noise.
    Noise {
        /// Strength of the noise.
        tau: f64,
    },
}

/// The weights of the values at the places `nodes`, in the step from `place` to the next one.
pub(super) fn adams(
    rungs: &Rungs,
    place: usize,
    nodes: &[usize],
    integrand: Integrand,
) -> Vec<f64> {
    let (from, to) = (rungs.levels[place], rungs.levels[place + 1]);
    let end = rungs.lambda(place + 1);
    let (front, rate) = match integrand {
        Integrand::Clean { tau } => ((1.0 + tau * tau) * to.signal, 1.0 + tau * tau),
        // Finite down to zero noise.
        Integrand::Noise { tau } if nodes.len() == 1 => {
            return vec![(1.0 + tau * tau) * (to.noise - to.signal * from.sigma())];
        }
        Integrand::Noise { tau } => (-(1.0 + tau * tau) * to.noise, -1.0),
    };
    // Everything relative to the end of the step, so that nothing large cancels.
    let nodes: Vec<f64> = nodes.iter().map(|&node| rungs.lambda(node) - end).collect();
    let weights = weights(&nodes, rate, end - rungs.lambda(place));
    weights.into_iter().map(|weight| front * weight).collect()
}

/// Coefficients (of rising powers) of the polynomial that is 1 at one node and 0 at the others.
pub(super) fn lagrange(nodes: &[f64], one: usize) -> Vec<f64> {
    let mut coefficients = vec![1.0];
    for (_, node) in nodes.iter().enumerate().filter(|(index, _)| *index != one) {
        let scale = 1.0 / (nodes[one] - node);
        let mut next = vec![0.0; coefficients.len() + 1];
        for (power, coefficient) in coefficients.iter().enumerate() {
            next[power + 1] += scale * coefficient;
            next[power] -= scale * node * coefficient;
        }
        coefficients = next;
    }
    coefficients
}

/// The integral of `u^power e^(rate u)` from `-h` to 0.
fn moment(rate: f64, h: f64, power: usize) -> f64 {
    if (rate * h).abs() < 1.0 {
        // By parts, everything would cancel here.
        let mut term = if power.is_multiple_of(2) {
            h.powi(power as i32 + 1)
        } else {
            -h.powi(power as i32 + 1)
        };
        let mut sum = 0.0;
        for order in 0..24 {
            sum += term / (power + order + 1) as f64;
            term *= -rate * h / (order + 1) as f64;
        }
        return sum;
    }
    match power {
        0 => -(-rate * h).exp_m1() / rate,
        _ => {
            // A power of an infinite step is outgrown by the exponential.
            let decay = (-rate * h).exp();
            let boundary = if decay == 0.0 { 0.0 } else { (-h).powi(power as i32) * decay };
            (-boundary - power as f64 * moment(rate, h, power - 1)) / rate
        }
    }
}

/// The weights of values at `nodes` in the integral from `-h` to 0 of the polynomial through them times `e^(rate u)`.
pub(super) fn weights(nodes: &[f64], rate: f64, h: f64) -> Vec<f64> {
    let moments: Vec<f64> = (0..nodes.len()).map(|power| moment(rate, h, power)).collect();
    let weight = |one: usize| lagrange(nodes, one).iter().zip(&moments).map(|(a, b)| a * b).sum();
    (0..nodes.len()).map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_agree_on_both_sides_of_the_series() {
        for power in 0..4 {
            // the antiderivative of u^power e^(r u), by Simpson's rule on a fine grid
            for (rate, h) in
                [(2.0, 0.3), (2.0, 0.7), (-1.0, 0.99), (-1.0, 1.5), (1.0, -0.8), (1.0, -2.0)]
            {
                let count = 2000;
                let value = |u: f64| u.powi(power as i32) * (rate * u).exp();
                let step: f64 = h / f64::from(count);
                let simpson: f64 = (0..count)
                    .map(|index| {
                        let u = -h + f64::from(index) * step;
                        step / 6.0 * (value(u) + 4.0 * value(u + 0.5 * step) + value(u + step))
                    })
                    .sum();
                let found = moment(rate, h, power);
                assert!((found - simpson).abs() < 1e-11, "{power} {rate} {h}: {found} {simpson}");
            }
        }
    }

    #[test]
    fn weights_of_tiny_steps_keep_their_digits() {
        let h = 1e-7;
        let weights = weights(&[-h, -2.0 * h, -3.0 * h], 1.0, h);
        let classical = [23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0];
        for (found, expected) in weights.iter().zip(classical) {
            assert!((found / h - expected).abs() < 1e-5, "{found}");
        }
        let sum: f64 = weights.iter().sum();
        assert!((sum / h - 1.0).abs() < 1e-6);
    }

    #[test]
    fn an_infinite_step_leaves_the_whole_integral() {
        assert_eq!(weights(&[0.0], 2.0, f64::INFINITY), [0.5]);
    }
}
