//! The rights and limits of the compiler's process, which it gives up and sets itself before it reads the component.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Memory that the process takes besides its job: its program, stacks, threads.
const OWN_BYTES: u64 = 192 << 20;
/// Address space besides memory: what is mapped of the program, and reserved but not used.
const UNUSED_BYTES: u64 = 2 << 30;
/// Processor time that the process may take for each second of its time limit.
const PROCESSORS: u64 = 8;

/// Confines this process for good: to `memory_bytes` of memory, and the processor time that fits into `time_s`; to no
/// files but those that are open, no network, and no other processes.
///
/// Where the kernel lacks one of the means, the others have to do.
pub(super) fn confine(memory_bytes: u64, time_s: u64) {
    let memory = memory_bytes.saturating_add(OWN_BYTES);
    limit(Resource::Data, memory);
    limit(Resource::As, memory.saturating_add(UNUSED_BYTES));
    limit(Resource::Cpu, time_s.saturating_mul(PROCESSORS).saturating_add(1));
    limit(Resource::Core, 0);
    limit(Resource::Fsize, 0);
    #[cfg(target_os = "linux")]
    linux::confine();
}

fn limit(resource: Resource, most: u64) {
    _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{collections::BTreeMap, env::consts::ARCH};

    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, Scope};
    use rustix::process::{Signal, set_parent_process_death_signal};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        apply_filter,
    };

    type Rules = BTreeMap<i64, Vec<SeccompRule>>;

    /// System calls that computing in memory, threads and the answer take. All others fail with `EPERM`.
    const ALLOWED: &[i64] = &[
        // Memory.
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        // The component and the answer, which are open already.
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_pread64,
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        // Threads and time.
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_clone3,
        libc::SYS_futex,
        libc::SYS_gettid,
        libc::SYS_membarrier,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_rseq,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_set_robust_list,
        libc::SYS_set_tid_address,
        // The end, also a bad one.
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_tgkill,
    ];

    pub(super) fn confine() {
        // The parent may be killed while it waits.
        _ = set_parent_process_death_signal(Some(Signal::KILL));
        _ = close_files_and_network();
        _ = close_system_calls();
    }

    fn close_files_and_network() -> Result<(), landlock::RulesetError> {
        let everything = Ruleset::default()
            .handle_access(AccessFs::from_all(ABI::V6))?
            .handle_access(AccessNet::from_all(ABI::V6))?
            .scope(Scope::from_all(ABI::V6))?;
        everything.create()?.restrict_self().map(|_| ())
    }

    fn close_system_calls() -> Result<(), seccompiler::Error> {
        // The arguments of `clone3` are out of a filter's sight. Told that there is no such call, the C library takes
        // `clone`, which is allowed for threads only.
        let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
        let no_clone3: Rules = [(libc::SYS_clone3, Vec::new())].into();
        apply(no_clone3, SeccompAction::Allow, absent)?;
        let mut allowed: Rules = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
        let is_thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
        allowed.insert(libc::SYS_clone, vec![SeccompRule::new(vec![is_thread])?]);
        apply(allowed, SeccompAction::Errno(libc::EPERM.cast_unsigned()), SeccompAction::Allow)
    }

    fn apply(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<(), seccompiler::Error> {
        let filter = SeccompFilter::new(rules, otherwise, matched, ARCH.try_into()?)?;
        apply_filter(&BpfProgram::try_from(filter)?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs::File, io::ErrorKind, net, process, thread};

    use super::*;

    // The limits are those of a whole process, so only the rights, which are those of a thread, are given up here.
    #[test]
    fn a_confined_thread_computes_and_reaches_nothing() {
        let confined = thread::spawn(|| {
            let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("an address");
            linux::confine();
            let denied = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            denied(File::open("/etc/passwd").expect_err("no files"));
            denied(File::create("/tmp/etl-host-confined").expect_err("no files"));
            denied(net::TcpStream::connect(address).expect_err("no network"));
            denied(net::UdpSocket::bind("127.0.0.1:0").expect_err("no network"));
            denied(process::Command::new("/bin/true").spawn().expect_err("no processes"));
            denied(
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::CONT)
                    .expect_err("no signals")
                    .into(),
            );
            let engine = crate::engine::compiling().expect("an engine");
            let code = thread::spawn(move || engine.precompile_component(b"\0asm\x0d\0\x01\0")).join();
            assert!(!code.expect("a thread").expect("compiled").is_empty());
        });
        confined.join().expect("confined");
    }
}
