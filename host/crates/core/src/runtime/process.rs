//! What the operating system says of this process.

use std::fs;

use crate::model::usage::{Traffic, Usage};

/// Returns what this process has used so far, with the given traffic of its stores.
pub fn usage(stores: impl IntoIterator<Item = (&'static str, Traffic)>) -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    Usage {
        stores: stores.into_iter().map(|(name, traffic)| (name.to_owned(), traffic)).collect(),
        peak_memory_bytes: peak_memory_bytes(&status),
        processor_ms: processor_ms(&stat),
    }
}

fn peak_memory_bytes(status: &str) -> Option<u64> {
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn processor_ms(stat: &str) -> Option<u64> {
    // The program's name is in parentheses and may itself hold any characters, so split behind the last parenthesis.
    // Times are in hundredths of a second.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(|ticks| ticks.parse::<u64>().ok());
    Some((times.next()?? + times.next()??) * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_asked_for_memory_and_time() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t   12 kB\n";
        assert_eq!((peak_memory_bytes(status), peak_memory_bytes("")), (Some(12 * 1024), None));
        let stat = "1 (a) b) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20\n";
        assert_eq!((processor_ms(stat), processor_ms("1 (a) R 1")), (Some(3000), None));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_has_used_something() {
        let usage = usage([("sink", Traffic { reads: 1, ..Traffic::default() })]);
        assert!(usage.peak_memory_bytes > Some(1 << 20) && usage.processor_ms.is_some(), "{usage:?}");
        assert_eq!(usage.stores["sink"].requests(), 1);
    }
}
