//! The usage of a process: requests to stores, memory and processor time. The cost of a run follows from these.

use std::{collections::BTreeMap, fs};

use serde::{Deserialize, Serialize};

/// The usage of a process, from its start until now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The requests to each store, by its role: `source`, `run store`, `sink`.
    pub stores: BTreeMap<String, Traffic>,
    /// The most memory that the process held, in bytes; absent where the system does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// The processor time of all threads of the process, in milliseconds; absent where the system does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_ms: Option<u64>,
}

/// The requests to a store. A request that the client itself repeats counts once, and so do all pages of a listing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Number of requests that read an object, a part of it, or its metadata.
    pub reads: u64,
    /// Number of requests that write an object, or a part of one.
    pub writes: u64,
    /// Number of listings.
    pub lists: u64,
    /// Number of objects deleted.
    pub deletes: u64,
    /// Number of objects copied or renamed.
    pub copies: u64,
    /// Number of bytes of objects that were asked for.
    pub read_bytes: u64,
    /// Number of bytes of objects that were written.
    pub written_bytes: u64,
}

impl Traffic {
    /// Adds the counts of `other` to these.
    pub fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.lists += other.lists;
        self.deletes += other.deletes;
        self.copies += other.copies;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
    }

    /// Returns the number of requests.
    pub fn requests(&self) -> u64 {
        self.reads + self.writes + self.lists + self.deletes + self.copies
    }
}

impl Usage {
    /// Returns what this process has used so far, with the given traffic of its stores.
    pub fn now(stores: impl IntoIterator<Item = (&'static str, Traffic)>) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self {
            stores: stores.into_iter().map(|(name, traffic)| (name.to_owned(), traffic)).collect(),
            peak_memory_bytes: peak_memory_bytes(&status),
            processor_ms: processor_ms(&stat),
        }
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
        let usage = Usage::now([("sink", Traffic { reads: 1, ..Traffic::default() })]);
        assert!(usage.peak_memory_bytes > Some(1 << 20) && usage.processor_ms.is_some(), "{usage:?}");
        assert_eq!(usage.stores["sink"].requests(), 1);
    }
}
