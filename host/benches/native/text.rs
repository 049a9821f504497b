//! Makes up the lines of the inputs from a seed, with whole numbers only, so the bytes are the same on any machine.

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
    /// Number of different keys: a fifth of the number of lines.
    keys: u64,
}

impl Text {
    /// Begins an input of about `bytes` bytes.
    pub(crate) fn new(workload: Workload, bytes: u64) -> Self {
        let random = Random(Pcg64::seed_from_u64(workload as u64));
        Self { workload, random, keys: bytes.div_ceil(70) }
    }

    /// Appends the next line, with its line end.
    pub(crate) fn line(&mut self, line: &mut Vec<u8>) {
        let random = &mut self.random;
        match self.workload {
            Workload::Count | Workload::Files => measurement(random, line),
            Workload::Words => sentence(random, line),
            Workload::Log => log_record(random, line),
            Workload::Keys => push(line, format_args!("{:07},{}", random.below(self.keys), random.below(100_000))),
            Workload::Filter => request(random, line),
        }
        line.push(b'\n');
    }
}

/// Appends one of 1,000 types of 20 to 30 bytes.
fn measurement(random: &mut Random, line: &mut Vec<u8>) {
    const PLACES: [&str; 10] =
        ["basel", "bern", "chur", "geneva", "lugano", "luzern", "sion", "thun", "winterthur", "zurich"];
    const KINDS: [&str; 10] =
        ["co2", "current", "flow", "humidity", "level", "noise", "power", "pressure", "speed", "voltage"];
    let (place, kind, device) = (random.pick(&PLACES), random.pick(&KINDS), random.below(10));
    push(line, format_args!("{place}/sensor-{device:04}/{kind}"));
}

/// Appends twelve of 500,000 words; the n-th word is about n times as rare as the first.
fn sentence(random: &mut Random, line: &mut Vec<u8>) {
    const ENDS: [&str; 8] = [" ", " ", " ", " ", " ", ", ", "; ", " - "];
    let start = line.len();
    for _ in 0..11 {
        word(random, line);
        push(line, format_args!("{}", random.pick(&ENDS)));
    }
    word(random, line);
    line[start].make_ascii_uppercase();
    line.push(b'.');
}

fn word(random: &mut Random, line: &mut Vec<u8>) {
    const CONSONANTS: &[u8; 16] = b"bcdfghjklmnprstv";
    const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
    // Every length of the number, from 1 bit to 19, is equally likely.
    let least = 1 << random.below(19);
    let number = (least + random.below(least)) % 500_000;
    let mut rest = number;
    while rest > 0 {
        push(line, format_args!("{}{}", CONSONANTS[(rest % 16) as usize] as char, VOWELS[(rest / 16 % 5) as usize]));
        rest /= 80;
    }
    if number.is_multiple_of(1_000) {
        push(line, format_args!("é"));
    }
}

/// Appends a record of about 190 bytes, for one of 1,000 paths.
fn log_record(random: &mut Random, line: &mut Vec<u8>) {
    const METHODS: [&str; 4] = ["GET", "GET", "GET", "POST"];
    const STATUSES: [u16; 8] = [200, 200, 200, 200, 204, 304, 404, 500];
    const AREAS: [&str; 5] = ["products", "orders", "customers", "search", "images"];
    const QUERIES: [&str; 3] = ["", "", "?page=2&sort=price"];
    let (area, page, query) = (random.pick(&AREAS), random.below(200), random.pick(&QUERIES));
    let (second, latency) = (random.below(86_400), random.below(500_000));
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let (method, status, bytes) = (random.pick(&METHODS), random.pick(&STATUSES), random.below(100_000));
    push(line, format_args!(r#"{{"time":"2026-11-20T{hour:02}:{minute:02}:{second:02}Z","method":"{method}","#));
    push(line, format_args!(r#""path":"/shop/{area}/{page}{query}","status":{status},"bytes":{bytes},"#));
    push(line, format_args!(r#""latency_ms":{}.{:02},"#, latency / 100, latency % 100));
    push(
        line,
        format_args!(r#""agent":"Mozilla/5.0 (X11; Linux x86_64; \"rv:{}\") Gecko/20100101"}}"#, 90 + page % 40),
    );
}

/// Appends a request of about 100 bytes; three of five have `status=ok`. Some lines have white space at their ends.
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
    line.write_fmt(text).expect("writing to a vector cannot fail");
}

struct Random(Pcg64);

impl Random {
    /// Returns a number from 0 to `end` - 1.
    fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(end);
        (product >> 64) as u64
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
