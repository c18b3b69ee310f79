//! Kernel choice as data: what could do a piece of work, where each candidate runs, and which one is taken.

use crate::program::Caps;

/// One way to do a piece of work.
#[derive(Debug)]
pub struct Candidate<T: 'static> {
    /// Name in [`Tuning`] and errors.
    pub name: &'static str,
    /// What lowering needs to know of it.
    pub value: T,
    /// Whether a device can run it at these sizes; what they mean is the work's business.
    pub fits: fn(&Caps, [usize; 3]) -> bool,
}

/// A piece of work that several kernels can do, or one kernel in several specialisations.
#[derive(Debug)]
pub struct Choice<T: 'static> {
    /// Name in [`Tuning`] and errors.
    pub work: &'static str,
    /// All candidates.
    pub candidates: &'static [Candidate<T>],
    /// Names of candidates in the order in which a device should prefer them at these sizes, without asking whether they fit.
    pub order: fn(&Caps, [usize; 3]) -> &'static [&'static str],
}

impl<T> Choice<T> {
    /// The candidate that `tuning` names, else the first of the default order that fits.
    ///
    /// # Errors
    /// A sentence when the named candidate does not exist or cannot run, or none can.
    pub(crate) fn pick(&self, caps: &Caps, tuning: &Tuning, sizes: [usize; 3]) -> Result<&'static Candidate<T>, String> {
        let find = |name: &str| self.candidates.iter().find(|c| c.name == name);
        if let Some(name) = tuning.wish(self.work, sizes) {
            let known = || self.candidates.iter().map(|c| c.name).collect::<Vec<_>>().join(", ");
            let candidate =
                find(name).ok_or_else(|| format!("{} has no candidate `{name}`; there are: {}", self.work, known()))?;
            return match (candidate.fits)(caps, sizes) {
                true => Ok(candidate),
                false => Err(format!("the candidate `{name}` of {} does not run here at sizes {sizes:?}", self.work)),
            };
        }
        let fitting = (self.order)(caps, sizes).iter().filter_map(|name| find(name)).find(|c| (c.fits)(caps, sizes));
        fitting.ok_or_else(|| format!("no candidate of {} runs here at sizes {sizes:?}", self.work))
    }
}

/// Overrides of the default choices, as a measurement on the device or a test wants them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tuning {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    work: String,
    /// `None`: at all sizes.
    sizes: Option<[usize; 3]>,
    candidate: String,
}

impl Tuning {
    /// Takes `candidate` for this work at all sizes that no rule of their own has.
    #[must_use]
    pub fn always(mut self, work: &str, candidate: &str) -> Self {
        self.rules.push(Rule { work: work.into(), sizes: None, candidate: candidate.into() });
        self
    }

    /// Takes `candidate` for this work at exactly these sizes.
    #[must_use]
    pub fn at(mut self, work: &str, sizes: [usize; 3], candidate: &str) -> Self {
        self.rules.push(Rule { work: work.into(), sizes: Some(sizes), candidate: candidate.into() });
        self
    }

    /// Of rules alike the last one counts.
    fn wish(&self, work: &str, sizes: [usize; 3]) -> Option<&str> {
        let of = |wanted: Option<[usize; 3]>| self.rules.iter().rev().find(move |r| r.work == work && r.sizes == wanted);
        of(Some(sizes)).or_else(|| of(None)).map(|rule| rule.candidate.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::AdapterClass;

    const WORK: Choice<u32> = Choice {
        work: "work",
        candidates: &[
            Candidate { name: "small", value: 1, fits: |_, _| true },
            Candidate { name: "large", value: 2, fits: |_, sizes| sizes[0] >= 8 },
        ],
        order: |_, _| &["large", "small"],
    };

    fn picked(tuning: &Tuning, rows: usize) -> Result<u32, String> {
        let caps = Caps::webgpu_default(AdapterClass::Hardware);
        WORK.pick(&caps, tuning, [rows, 1, 1]).map(|c| c.value)
    }

    #[test]
    fn without_rules_the_first_that_fits_is_taken() {
        assert_eq!([picked(&Tuning::default(), 8), picked(&Tuning::default(), 7)], [Ok(2), Ok(1)]);
    }

    #[test]
    fn rules_for_sizes_come_before_rules_for_all() {
        let tuning = Tuning::default().at("work", [9, 1, 1], "large").always("work", "small").always("other", "large");
        assert_eq!([picked(&tuning, 8), picked(&tuning, 9)], [Ok(1), Ok(2)]);
    }

    #[test]
    fn a_rule_that_cannot_be_kept_is_an_error() {
        let large = Tuning::default().always("work", "large");
        assert!(picked(&large, 7).is_err_and(|reason| reason.contains("`large`")));
        let unknown = Tuning::default().always("work", "larger");
        assert!(picked(&unknown, 7).is_err_and(|reason| reason.contains("small, large")));
    }
}
