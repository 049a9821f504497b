//! Grants: access to the real world that the pipeline gives a step, by name.

use std::fmt;

/// Names of all grants, as messages list them.
pub const CHOICES: &str = "`clock`, `random`, `env:NAME`";

/// Access to the real world that a step is granted; by default none. Each thing that is not granted is replaced by a
/// stand-in that behaves the same in every attempt.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// `clock`: the real time of day and the real passage of time. Otherwise the wall clock stands at the plan's time.
    pub clock: bool,
    /// `random`: entropy. Otherwise random numbers come from a seed derived from plugin, step and task.
    pub random: bool,
    /// `env:NAME`: environment variables, as names and values. Otherwise there are none.
    pub variables: Vec<(String, String)>,
}

impl Grants {
    /// Returns the names of the grants, as the pipeline file spells them.
    pub fn names(&self) -> Vec<String> {
        let clock = self.clock.then(|| "clock".to_owned());
        let random = self.random.then(|| "random".to_owned());
        let variables = self.variables.iter().map(|(name, _)| format!("env:{name}"));
        clock.into_iter().chain(random).chain(variables).collect()
    }
}

/// Shows only the names, because values of variables may be secret.
impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grants").field(&self.names()).finish()
    }
}
