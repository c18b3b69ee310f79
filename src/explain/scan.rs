//! Maps of one selective scan, by its definition (see [`crate::ops::SelectiveScan`]): with delta' = softplus(delta + bias),
//!
//! ```text
//! h[t] = exp(delta'[t] A) h[t-1] + delta'[t] B[t] u[t],    y[t] = C[t] h[t] + D u[t],    p = sum over t of w[t] y[t]
//! ```
//!
//! where w is what pooling makes of a token: 1 / L for a mean, 1 for the class token and 0 for all others. As y is linear in what each
//! token puts into the state, p is a sum of one vector k[t] a token, which one pass against the direction gives:
//!
//! ```text
//! g[t] = w[t] C[t] + exp(delta'[t+1] A) g[t+1],    k[t] = delta'[t] (g[t] B[t]) u[t] + w[t] D u[t]
//! ```

use crate::ops::Direction;

/// A scan's operands, as [`crate::ops::SelectiveScan`] has them, of so many images or windows of one image.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The order of the tokens.
    pub direction: Direction,
    /// Images or windows.
    pub images: usize,
    /// `(images, L, W)`: the first D channels are scanned.
    pub xz: Vec<f32>,
    /// `(images, L, D)`.
    pub delta: Vec<f32>,
    /// `(images, L, 2 S)`: B, then C.
    pub bc: Vec<f32>,
    /// `[D, S]`.
    pub a: Vec<f32>,
    /// `[D]`.
    pub skip: Vec<f32>,
    /// `[D]`.
    pub bias: Vec<f32>,
}

/// What the tokens do in a scan, or in several of the same tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScanMaps {
    scans: usize,
    channels: usize,
    /// Sums over scans of means over channels, one a token.
    delta: Vec<f64>,
    forget: Vec<f64>,
    /// Vectors of the channels, one a token.
    parts: Vec<f64>,
}

impl Scan {
    /// Channels, states, tokens of an image, and the width of a row of xz.
    fn dims(&self) -> [usize; 4] {
        let channels = self.skip.len().max(1);
        let states = self.a.len() / channels;
        let rows = (self.delta.len() / channels).max(1);
        [channels, states, rows / self.images.max(1), self.xz.len() / rows]
    }

    /// The maps; `class_token` is the place of the token that alone is pooled, else the mean of all is.
    pub fn maps(&self, class_token: Option<usize>) -> ScanMaps {
        let [channels, states, length, width] = self.dims();
        let tokens = self.images * length;
        let mut maps = ScanMaps {
            scans: 1,
            channels,
            delta: vec![0.0; tokens],
            forget: vec![0.0; tokens],
            parts: vec![0.0; tokens * channels],
        };
        let backwards: Vec<usize> = order(self.direction, length).into_iter().rev().collect();
        for image in 0..self.images {
            for c in 0..channels {
                let (a, mut g) = (&self.a[c * states..][..states], vec![0.0f64; states]);
                for &place in &backwards {
                    let token = image * length + place;
                    let weight = match class_token {
                        Some(class) => f64::from(u8::from(class == place)),
                        None => 1.0 / tokens as f64,
                    };
                    let step = softplus(f64::from(self.delta[token * channels + c]) + f64::from(self.bias[c]));
                    let u = f64::from(self.xz[token * width + c]);
                    let (b, out_of) = self.bc[token * 2 * states..][..2 * states].split_at(states);
                    let (mut part, mut kept) = (weight * f64::from(self.skip[c]) * u, 0.0);
                    for n in 0..states {
                        g[n] += weight * f64::from(out_of[n]);
                        part += step * g[n] * f64::from(b[n]) * u;
                        let decay = (step * f64::from(a[n])).exp();
                        kept += decay;
                        // What the token before this one in the scan's order passes on goes through this one's gate.
                        g[n] *= decay;
                    }
                    maps.delta[token] += step / channels as f64;
                    maps.forget[token] += kept / (channels * states) as f64;
                    maps.parts[token * channels + c] = part;
                }
            }
        }
        maps
    }
}

impl ScanMaps {
    /// Together with another scan of the same tokens.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.scans += other.scans;
        for (own, others) in [(&mut self.delta, other.delta), (&mut self.forget, other.forget), (&mut self.parts, other.parts)] {
            own.iter_mut().zip(others).for_each(|(own, other)| *own += other);
        }
        self
    }

    /// The mean of delta' over channels and scans.
    pub fn delta(&self) -> Vec<f32> {
        self.delta.iter().map(|sum| (sum / self.scans as f64) as f32).collect()
    }

    /// The mean of exp(delta' A) over channels, states and scans.
    pub fn forget(&self) -> Vec<f32> {
        self.forget.iter().map(|sum| (sum / self.scans as f64) as f32).collect()
    }

    /// What the scans give to the pooled feature: the sum of all tokens' vectors.
    pub fn pooled(&self) -> Vec<f64> {
        let mut pooled = vec![0.0; self.channels];
        for part in self.parts.chunks_exact(self.channels.max(1)) {
            pooled.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        pooled
    }

    /// Each token's share in that, (k p) / (p p); zeros where it is zero.
    pub fn contribution(&self) -> Vec<f32> {
        let pooled = self.pooled();
        let dot = |part: &[f64]| part.iter().zip(&pooled).map(|(a, b)| a * b).sum::<f64>();
        let all = dot(&pooled);
        let share = |part: &[f64]| if all > 0.0 { (dot(part) / all) as f32 } else { 0.0 };
        self.parts.chunks_exact(self.channels.max(1)).map(share).collect()
    }
}

/// The tokens in the order of a direction.
fn order(direction: Direction, length: usize) -> Vec<usize> {
    let (height, width) = (direction.height.max(1), length / direction.height.max(1));
    let mut order: Vec<usize> = (0..length).map(|i| if height == 1 { i } else { i % height * width + i / height }).collect();
    if direction.reversed {
        order.reverse();
    }
    order
}

fn softplus(x: f64) -> f64 {
    if x > 30.0 { x } else { x.exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One channel, one state, A = -ln 2 and steps of 1, so that every token halves the state: h = u1 / 4 + u2 / 2 + u3 at the end.
    fn halving(direction: Direction) -> Scan {
        // softplus(x) = 1 for x = ln(e - 1).
        let one = (1f32.exp() - 1.0).ln();
        Scan {
            direction,
            images: 1,
            xz: vec![8.0, 4.0, 2.0],
            delta: vec![one - 0.5; 3],
            // B and C are 1.
            bc: vec![1.0; 6],
            a: vec![-std::f32::consts::LN_2],
            skip: vec![0.5],
            bias: vec![0.5],
        }
    }

    fn close(got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(g, w)| (f64::from(*g) - w).abs() < 1e-6), "{got:?} instead of {want:?}");
    }

    #[test]
    fn a_scan_that_halves_its_state() {
        let maps = halving(Direction::FORWARD).maps(None);
        close(&maps.delta(), &[1.0; 3]);
        close(&maps.forget(), &[0.5; 3]);
        // y is 8 + 4, then 4 + 4 + 2, then 2 + 2 + 2 + 1: the first token puts 8 (1 + 1/2 + 1/4 + 1/2) into the sum of 29.
        assert!((maps.pooled()[0] - 29.0 / 3.0).abs() < 1e-6);
        close(&maps.contribution(), &[18.0 / 29.0, 8.0 / 29.0, 3.0 / 29.0]);
        // Backwards the last token comes first: 2 (1 + 1/2 + 1/4 + 1/2) + 4 (1 + 1/2 + 1/2) + 8 (1 + 1/2) = 24.5.
        let maps = halving(Direction { height: 1, reversed: true }).maps(None);
        close(&maps.contribution(), &[12.0 / 24.5, 8.0 / 24.5, 4.5 / 24.5]);
    }

    #[test]
    fn what_reaches_the_class_token() {
        // It sees what came before it, and itself.
        let maps = halving(Direction::FORWARD).maps(Some(1));
        close(&maps.contribution(), &[4.0 / 10.0, 6.0 / 10.0, 0.0]);
        let both = maps.with(halving(Direction { height: 1, reversed: true }).maps(Some(1)));
        // Both directions: 4 + 6 + 0 and 0 + 6 + 1.
        close(&both.contribution(), &[4.0 / 17.0, 12.0 / 17.0, 1.0 / 17.0]);
        close(&both.forget(), &[0.5; 3]);
    }

    #[test]
    fn columns_are_taken_one_after_the_other() {
        assert_eq!(order(Direction { height: 2, reversed: false }, 6), [0, 3, 1, 4, 2, 5]);
        assert_eq!(order(Direction { height: 2, reversed: true }, 6), [5, 2, 4, 1, 3, 0]);
    }

    /// Of shares that sum to one nothing is lost, whatever the sizes.
    #[test]
    fn shares_sum_to_one() {
        let noise = |n: usize, seed: f32| (0..n).map(|i| (i as f32 * seed).sin()).collect::<Vec<f32>>();
        let (images, length, channels, states) = (2, 6, 5, 3);
        let scan = Scan {
            direction: Direction { height: 3, reversed: true },
            images,
            xz: noise(images * length * (channels + 2), 1.3),
            delta: noise(images * length * channels, 2.1),
            bc: noise(images * length * 2 * states, 0.7),
            a: noise(channels * states, 0.9).iter().map(|v| v - 1.5).collect(),
            skip: noise(channels, 3.3),
            bias: noise(channels, 4.1),
        };
        for class in [None, Some(0), Some(4)] {
            let sum: f32 = scan.maps(class).contribution().iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "{class:?}: {sum}");
        }
    }
}
