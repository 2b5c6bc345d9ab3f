//! A filter of system calls, seccomp(2). It lists what a process could do to others despite the other parts of the
//! fence, and calls that cover for a part that the host lacks.

use std::collections::BTreeMap;

use libc::{
    AF_UNIX, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER,
    CLONE_NEWUTS, ENOSYS, EPERM, SOCK_SEQPACKET, SOCK_STREAM, c_long,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

use crate::error::Error;

type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// Newer calls, the same numbers on every architecture but Alpha (`scripts/syscall.tbl` of Linux 6.17).
const SETXATTRAT: c_long = 463;
const REMOVEXATTRAT: c_long = 466;
const OPEN_TREE_ATTR: c_long = 467;
const FILE_SETATTR: c_long = 469;

/// Refused with any arguments.
const REFUSED: &[c_long] = &[
    // Connections to sockets: QEMU's own sockets only listen.
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
    // Their priorities and the places of their memory; QEMU's own filter refuses the older calls for this.
    libc::SYS_sched_setattr,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Their objects have small numbers, which need not be asked for (svipc(7)).
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // Not covered by Landlock: modes, owners, times and attributes of files; files without a path.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SETXATTRAT,
    REMOVEXATTRAT,
    FILE_SETATTR,
    libc::SYS_truncate,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_inotify_init1,
    // Kernel facilities.
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

/// Older equivalents that x86-64 has in addition.
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

/// Operations of fcntl(2) that choose who gets a file's signals, and which: any process of the same user, and `SIGKILL`.
const SIGNALS_OF_FILES: [i32; 3] = [libc::F_SETOWN, F_SETSIG, F_SETOWN_EX];
/// From asm-generic/fcntl.h.
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;

/// Requests of ioctl(2) that are refused.
const REFUSED_REQUESTS: [u32; 9] = [
    // The same for sockets, `FIOSETOWN` and `SIOCSPGRP` of asm-generic/sockios.h.
    0x8901,
    0x8902,
    // Attributes of files, which need no right to write: `FS_IOC_SETFLAGS` of both word sizes, `FS_IOC_FSSETXATTR`,
    // `FS_IOC_SETVERSION` of both word sizes of linux/fs.h; `FS_IOC_ENABLE_VERITY` of linux/fsverity.h, after which a
    // file can never be written; `FS_IOC_SET_ENCRYPTION_POLICY` of linux/fscrypt.h.
    0x4008_6602,
    0x4004_6602,
    0x401c_5820,
    0x4008_7602,
    0x4004_7602,
    0x4080_6685,
    0x800c_6613,
];

/// Reported as missing, so that programs fall back to an older way: `io_uring` can connect without `connect`, and the
/// arguments of `clone3` are in memory, which filters cannot see.
const UNKNOWN: &[c_long] =
    &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_clone3];

/// The first call number of x86-64's ABI with 32-bit pointers, `__X32_SYSCALL_BIT` of Linux: some calls have different
/// numbers there.
#[cfg(target_arch = "x86_64")]
const OTHER_ABI: Option<u32> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const OTHER_ABI: Option<u32> = None;

/// Filters the calls of this process.
pub(crate) fn restrict() -> Result<(), Error> {
    for program in programs(u64::from(std::process::id()))? {
        apply_filter(&program)?;
    }
    Ok(())
}

/// The filters of the process with this id.
fn programs(own: u64) -> Result<Vec<BpfProgram>, Error> {
    let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
    let mut programs = vec![program(refused(own)?, EPERM)?, program(unknown, ENOSYS)?];
    programs.extend(OTHER_ABI.map(|first| unknown_from(first).to_vec()));
    Ok(programs)
}

/// The filter that reports this number and all above it as missing. Instructions are from `linux/bpf_common.h`, values
/// from `linux/seccomp.h`; the other filters have already checked the architecture.
fn unknown_from(first: u32) -> [sock_filter; 4] {
    const LOAD: u16 = 0x20;
    const AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    let plain = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    [
        // The call number is the first field of `struct seccomp_data`.
        plain(LOAD, 0),
        sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: first },
        plain(RETURN, ERRNO | ENOSYS.cast_unsigned()),
        plain(RETURN, ALLOW),
    ]
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
    // Only pairs that stay connected: a datagram socket can address another receiver, in memory, which filters cannot
    // see.
    let mut pairs = vec![rule(vec![is(0, Op::Ne, number(AF_UNIX))?])?];
    for other in (0..=0xf).filter(|number| ![SOCK_STREAM, SOCK_SEQPACKET].contains(number)) {
        pairs.push(rule(vec![is(1, kind.clone(), number(other))?])?);
    }
    calls.insert(libc::SYS_socketpair, pairs);
    // The address of a receiver.
    calls.insert(libc::SYS_sendto, vec![rule(vec![Condition::new(4, Length::Qword, Op::Ne, 0)?])?]);
    // The process itself: for an abort, and for QEMU's own threads.
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        calls.insert(call, vec![rule(vec![is(0, Op::Ne, own)?])?]);
    }
    let each = |numbers: &[u32]| -> Result<Vec<SeccompRule>, Error> {
        numbers.iter().map(|one| Ok(rule(vec![is(1, Op::Eq, u64::from(*one))?])?)).collect()
    };
    calls.insert(libc::SYS_fcntl, each(&SIGNALS_OF_FILES.map(i32::cast_unsigned))?);
    calls.insert(libc::SYS_ioctl, each(&REFUSED_REQUESTS)?);
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

/// The filter that answers these calls with this error and permits all others.
fn program(calls: Calls, error: i32) -> Result<BpfProgram, Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refusal = SeccompAction::Errno(error.cast_unsigned());
    Ok(SeccompFilter::new(calls, SeccompAction::Allow, refusal, arch)?.try_into()?)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    const OWN: u64 = 4711;

    /// The kernel's decision: `None` if a call is permitted, otherwise the error.
    fn ask(call: i64, arguments: &[u64]) -> Option<i32> {
        // `struct seccomp_data` of linux/seccomp.h: the number, AUDIT_ARCH_X86_64, an address, six arguments.
        let mut data = vec![u32::try_from(call).unwrap(), 0xc000_003e, 0, 0];
        for at in 0..6 {
            let argument = arguments.get(at).copied().unwrap_or_default();
            let half = |shift: u32| u32::try_from(argument >> shift & u64::from(u32::MAX)).unwrap();
            data.extend([half(0), half(32)]);
        }
        programs(OWN).unwrap().iter().find_map(|program| run(program, &data))
    }

    /// Interprets the instructions of classic BPF that occur in filters.
    fn run(program: &[sock_filter], data: &[u32]) -> Option<i32> {
        let (mut at, mut value) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |is: bool| usize::from(if is { jt } else { jf });
            match code {
                0x20 => value = data[k as usize / 4],
                0x54 => value &= k,
                0x05 => at += k as usize,
                0x15 => at += jump(value == k),
                0x25 => at += jump(value > k),
                0x35 => at += jump(value >= k),
                0x06 if k == 0x7fff_0000 => return None,
                0x06 => {
                    assert_eq!(k >> 16, 5, "an error, and not the end of the process");
                    return Some((k & 0xffff).cast_signed());
                }
                other => panic!("{other:#x}"),
            }
        }
    }

    fn unsigned(constant: i32) -> u64 {
        u64::from(constant.cast_unsigned())
    }

    #[test]
    fn a_socket_pair_reaches_no_other_process() {
        let pair = |domain: i32, kind: i32| ask(libc::SYS_socketpair, &[unsigned(domain), unsigned(kind)]);
        assert_eq!(pair(AF_UNIX, SOCK_STREAM | libc::SOCK_CLOEXEC), None);
        assert_eq!(pair(AF_UNIX, SOCK_SEQPACKET), None);
        for kind in [libc::SOCK_DGRAM, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, libc::SOCK_RAW] {
            assert_eq!(pair(AF_UNIX, kind), Some(EPERM));
        }
        assert_eq!(pair(libc::AF_INET, SOCK_STREAM), Some(EPERM));
        assert_eq!(ask(libc::SYS_sendto, &[3, 1, 1, 0, 0, 0]), None, "as send(2) does");
        for address in [1, 1 << 40] {
            assert_eq!(ask(libc::SYS_sendto, &[3, 1, 1, 0, address, 110]), Some(EPERM));
        }
    }

    #[test]
    fn no_call_changes_file_attributes() {
        for call in [libc::SYS_setxattr, libc::SYS_fsetxattr, libc::SYS_fremovexattr, 463, 466, 469] {
            assert_eq!(ask(call, &[]), Some(EPERM), "{call}");
        }
        assert_eq!(ask(libc::SYS_fgetxattr, &[]), None);
        for request in [libc::FS_IOC_SETFLAGS, 0x401c_5820, 0x4080_6685] {
            assert_eq!(ask(libc::SYS_ioctl, &[3, request]), Some(EPERM), "{request:#x}");
            // The kernel ignores the upper half.
            assert_eq!(ask(libc::SYS_ioctl, &[3, request | 1 << 32]), Some(EPERM), "{request:#x}");
        }
        assert_eq!(ask(libc::SYS_ioctl, &[3, libc::FS_IOC_GETFLAGS]), None);
    }

    #[test]
    fn no_file_sends_signals_to_another_process() {
        for operation in [libc::F_SETOWN, F_SETSIG, F_SETOWN_EX] {
            assert_eq!(ask(libc::SYS_fcntl, &[3, unsigned(operation), 1]), Some(EPERM), "{operation}");
        }
        for request in [0x8901, 0x8902] {
            assert_eq!(ask(libc::SYS_ioctl, &[3, request, 1]), Some(EPERM), "{request:#x}");
        }
        for operation in [libc::F_GETFL, libc::F_SETFL, libc::F_SETFD, libc::F_OFD_SETLK] {
            assert_eq!(ask(libc::SYS_fcntl, &[3, unsigned(operation)]), None, "{operation}");
        }
        assert_eq!(ask(libc::SYS_ioctl, &[3, libc::FIONBIO]), None);
    }

    #[test]
    fn no_call_reaches_priorities_and_queues_of_another_process() {
        for call in [
            libc::SYS_ioprio_set,
            libc::SYS_semop,
            libc::SYS_semctl,
            libc::SYS_msgrcv,
            libc::SYS_msgctl,
            libc::SYS_shmctl,
        ] {
            assert_eq!(ask(call, &[0]), Some(EPERM), "{call}");
        }
    }

    #[test]
    fn calls_of_another_abi_are_excluded() {
        // 521 is its ptrace, and 0 its read.
        for call in [0, 521, 546, libc::SYS_connect] {
            assert_eq!(ask(call | 0x4000_0000, &[]), Some(ENOSYS), "{call}");
        }
        assert_eq!(ask(0, &[]), None);
        assert_eq!(ask(libc::SYS_clone3, &[]), Some(ENOSYS));
        assert_eq!(ask(libc::SYS_kill, &[OWN]), None);
        assert_eq!(ask(libc::SYS_kill, &[1]), Some(EPERM));
    }
}
