//! Grants: what a step is given of the real world, by name.

use std::fmt;

/// What may be granted, as messages list it.
pub(crate) const CHOICES: &str = "`clock`, `random`, `env:NAME`";

/// What a step is given of the real world; nothing, unless the pipeline says otherwise. In the place of what is not
/// granted stands something that is the same in every attempt.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// `clock`: the time of day, and how time passes. Else the clock stands at the plan's time.
    pub clock: bool,
    /// `random`: entropy. Else random numbers come from a seed made of plugin, step and task.
    pub random: bool,
    /// `env:NAME`: environment variables, names and values. Else there are none.
    pub variables: Vec<(String, String)>,
}

impl Grants {
    /// Returns the names of what is granted, as the pipeline writes them.
    pub fn names(&self) -> Vec<String> {
        let clock = self.clock.then(|| "clock".to_owned());
        let random = self.random.then(|| "random".to_owned());
        let variables = self.variables.iter().map(|(name, _)| format!("env:{name}"));
        clock.into_iter().chain(random).chain(variables).collect()
    }
}

/// Shows names only: values may be secret.
impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grants").field(&self.names()).finish()
    }
}
