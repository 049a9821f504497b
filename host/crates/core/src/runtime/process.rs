//! What the operating system says of this process.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::model::usage::{Traffic, Usage};

/// A process, named so that another process of the same machine can find out whether it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The name of the machine, for people.
    pub host: String,
    /// The number of the process, as its machine counts.
    pub pid: u32,
    /// The start of the machine, and the group of processes that share their numbers.
    machine: String,
    /// When the process started, as its machine counts: numbers of processes are used again.
    started: u64,
}

impl ProcessId {
    /// Returns the id of this process; `None` where the system does not say.
    pub fn this() -> Option<Self> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let pid = stat.split(' ').next()?.parse().ok()?;
        Some(Self { host: host.trim().to_owned(), pid, machine: machine()?, started: started(&stat)? })
    }

    /// Returns whether the process has ended; `None` if it is of another machine, or the system does not say.
    pub fn has_ended(&self) -> Option<bool> {
        if machine()? != self.machine {
            return None;
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let ended = stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with(['Z', 'X']));
        Some(ended || started(&stat) != Some(self.started))
    }
}

fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.display()))
}

fn started(stat: &str) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

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
    fn a_process_of_this_machine_is_known_to_run_or_to_have_ended() {
        let this = ProcessId::this().expect("the system says");
        assert_eq!(this.has_ended(), Some(false));
        let before = ProcessId { started: this.started - 1, ..this.clone() };
        assert_eq!(before.has_ended(), Some(true), "its number is used again");
        let elsewhere = ProcessId { machine: "another".to_owned(), ..this };
        assert_eq!(elsewhere.has_ended(), None);
        let mut child = std::process::Command::new("true").spawn().expect("it starts");
        let ended = || ProcessId { pid: child.id(), ..before.clone() }.has_ended();
        assert_eq!(ended(), Some(true));
        child.wait().expect("it ends");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_has_used_something() {
        let usage = usage([("sink", Traffic { reads: 1, ..Traffic::default() })]);
        assert!(usage.peak_memory_bytes > Some(1 << 20) && usage.processor_ms.is_some(), "{usage:?}");
        assert_eq!(usage.stores["sink"].requests(), 1);
    }
}
