//! The lines of the inputs: made up from a seed with whole numbers only, so they are the same bytes on any machine.

use std::io::Write;

use rand_pcg::{
    Pcg64,
    rand_core::{Rng, SeedableRng},
};

use crate::workload::Workload;

/// Makes the lines of a workload's input, one after the other.
pub(crate) struct Text {
    workload: Workload,
    random: Random,
}

impl Text {
    pub(crate) fn new(workload: Workload) -> Self {
        Self { workload, random: Random(Pcg64::seed_from_u64(workload as u64)) }
    }

    /// Appends the next line, with its end.
    pub(crate) fn line(&mut self, line: &mut Vec<u8>) {
        let random = &mut self.random;
        match self.workload {
            Workload::Count => measurement(random, line),
            Workload::Filter => request(random, line),
        }
        line.push(b'\n');
    }
}

/// One of 1,000 types of 20 to 30 bytes.
fn measurement(random: &mut Random, line: &mut Vec<u8>) {
    const PLACES: [&str; 10] =
        ["basel", "bern", "chur", "geneva", "lugano", "luzern", "sion", "thun", "winterthur", "zurich"];
    const KINDS: [&str; 10] =
        ["co2", "current", "flow", "humidity", "level", "noise", "power", "pressure", "speed", "voltage"];
    let (place, kind, device) = (random.pick(&PLACES), random.pick(&KINDS), random.below(10));
    push(line, format_args!("{place}/sensor-{device:04}/{kind}"));
}

/// A request of some 100 bytes; three of five have `status=ok`. Some lines have white space at their ends.
fn request(random: &mut Random, line: &mut Vec<u8>) {
    const STATUS: [&str; 5] = ["ok", "ok", "ok", "failed", "timeout"];
    const ACTIONS: [&str; 6] = ["login", "search", "order", "cancel", "refund", "logout"];
    let margin = if random.below(50) == 0 { "  " } else { "" };
    let (second, user, item) = (random.below(86_400), random.below(1_000_000), random.below(1_000_000_000));
    let (status, action, millis) = (random.pick(&STATUS), random.pick(&ACTIONS), random.below(5_000));
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    push(line, format_args!("{margin}2026-11-20T{hour:02}:{minute:02}:{second:02}Z user={user:06} action={action} "));
    push(line, format_args!("item={item:09} status={status} duration_ms={millis} region=eu-central{margin}"));
}

fn push(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("a vector takes whatever is written");
}

struct Random(Pcg64);

impl Random {
    /// Returns a number from 0 up to, not including, `end`.
    fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(end);
        (product >> 64) as u64
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
