//! A filter of system calls, seccomp(2). What it names is what a process could do to others in spite of the other parts, and what
//! stands in for a part that a host lacks.

use std::collections::BTreeMap;

use libc::{
    AF_UNIX, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER,
    CLONE_NEWUTS, ENOSYS, EPERM, SOCK_STREAM, c_long,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use crate::error::Error;

type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// Refused whatever is asked of them.
const REFUSED: &[c_long] = &[
    // Other ends of sockets: QEMU's own only listen.
    libc::SYS_connect,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // What Landlock does not look at: modes, owners, times and attributes of files; files without a path.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_truncate,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_inotify_init1,
    // The kernel's own.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
];

/// The older names that x86-64 has beside them.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_inotify_init,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_kexec_file_load,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[];

/// Said not to be there, so that programs go on by an older way: a ring connects without `connect`, and what `clone3` is asked for
/// lies in memory, where no filter looks.
const UNKNOWN: &[c_long] =
    &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_clone3];

/// The bit that x86-64 marks calls of its 32-bit-pointer ABI with, `__X32_SYSCALL_BIT` of Linux.
#[cfg(target_arch = "x86_64")]
const OTHER_ABI: Option<i64> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const OTHER_ABI: Option<i64> = None;

/// Filters the calls of this process.
pub(crate) fn restrict() -> Result<(), Error> {
    let own = u64::from(std::process::id());
    let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
    for (calls, error) in [(refused(own)?, EPERM), (unknown, ENOSYS)] {
        apply_filter(&program(calls, error)?)?;
    }
    Ok(())
}

fn refused(own: u64) -> Result<Calls, Error> {
    let mut calls: Calls = REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    let rule = |conditions: Vec<Condition>| SeccompRule::new(conditions);
    let is = |argument, operation, value: u64| Condition::new(argument, Length::Dword, operation, value);
    // A socket's type has flags above its lowest four bits, socket(2).
    let kind = Op::MaskedEq(0xf);
    let other_kinds = (0..=0xf).filter(|number| *number != SOCK_STREAM);
    let mut sockets = vec![rule(vec![is(0, Op::Ne, number(AF_UNIX))?])?];
    for other in other_kinds {
        sockets.push(rule(vec![is(1, kind.clone(), number(other))?])?);
    }
    calls.insert(libc::SYS_socket, sockets);
    // The process itself: an abort, and QEMU's own threads.
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        calls.insert(call, vec![rule(vec![is(0, Op::Ne, own)?])?]);
    }
    // 0 is the process itself.
    calls.insert(libc::SYS_prlimit64, vec![rule(vec![is(0, Op::Ne, 0)?, is(0, Op::Ne, own)?])?]);
    let mut clones = Vec::new();
    for flag in
        [CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET]
    {
        clones.push(rule(vec![is(0, Op::MaskedEq(number(flag)), number(flag))?])?);
    }
    calls.insert(libc::SYS_clone, clones);
    Ok(calls)
}

fn number(constant: i32) -> u64 {
    u64::from(constant.cast_unsigned())
}

/// The filter that answers these calls with this error and lets the others through.
fn program(mut calls: Calls, error: i32) -> Result<BpfProgram, Error> {
    if let Some(bit) = OTHER_ABI {
        let others: Vec<_> = calls.iter().map(|(call, rules)| (call | bit, rules.clone())).collect();
        calls.extend(others);
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refusal = SeccompAction::Errno(error.cast_unsigned());
    Ok(SeccompFilter::new(calls, SeccompAction::Allow, refusal, arch)?.try_into()?)
}
