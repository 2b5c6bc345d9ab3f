//! Where the time of a boot went.

use std::time::Duration;

use rave_guest::protocol;

/// The phases of one boot. They follow each other from QEMU's start (or the reboot request) to readiness, so their sum
/// is `ready`. If the beginning of a phase left no mark, its duration is zero and its time belongs to the previous
/// phase.
///
/// Marks are noticed when the logs are read, every [`super::watch::POLL`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    /// Until the firmware started the boot loader, or, without a boot loader, until the kernel's first output.
    pub firmware: Duration,
    /// Until the kernel's first output.
    pub loader: Duration,
    /// Until the first output of the root filesystem's init.
    pub kernel_initrd: Duration,
    /// Until the stage that was waited for.
    pub userspace: Duration,
    /// The total.
    pub ready: Duration,
    /// When each stage of the guest was reported, since the beginning.
    pub stages: Vec<(protocol::GuestStage, Duration)>,
}

/// When each mark was first seen, since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    pub(super) loader: Option<Duration>,
    pub(super) kernel: Option<Duration>,
    pub(super) init: Option<Duration>,
    pub(super) userspace: Option<Duration>,
}

impl Timeline {
    pub(super) fn new(marks: &Marks, stages: Vec<(protocol::GuestStage, Duration)>, ready: Duration) -> Self {
        let userspace = marks.userspace.or(stages.first().map(|(_, at)| *at)).unwrap_or(ready).min(ready);
        let kernel = marks.kernel.unwrap_or(userspace).min(userspace);
        let loader = marks.loader.unwrap_or(kernel).min(kernel);
        Self {
            firmware: loader,
            loader: kernel.checked_sub(loader).unwrap(),
            kernel_initrd: userspace.checked_sub(kernel).unwrap(),
            userspace: ready.checked_sub(userspace).unwrap(),
            ready,
            stages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn phases_lie_between_marks() {
        let marks = Marks {
            loader: Some(seconds(3)),
            kernel: Some(seconds(7)),
            init: Some(seconds(9)),
            userspace: Some(seconds(12)),
        };
        let timeline = Timeline::new(&marks, Vec::new(), seconds(20));
        assert_eq!(
            [timeline.firmware, timeline.loader, timeline.kernel_initrd, timeline.userspace],
            [seconds(3), seconds(4), seconds(5), seconds(8)]
        );
    }

    #[test]
    fn a_direct_kernel_boot_has_firmware_time_and_no_loader_time() {
        let marks = Marks { kernel: Some(seconds(2)), ..Marks::default() };
        let stages = vec![(protocol::GuestStage::Userspace, seconds(5))];
        let timeline = Timeline::new(&marks, stages, seconds(6));
        assert_eq!(
            [timeline.firmware, timeline.loader, timeline.kernel_initrd, timeline.userspace],
            [seconds(2), seconds(0), seconds(3), seconds(1)]
        );
    }

    proptest! {
        #[test]
        fn phases_add_up_to_the_total(marks in proptest::array::uniform4(proptest::option::of(0u64..50)), ready in 0u64..60) {
            let [loader, kernel, init, userspace] = marks.map(|mark| mark.map(seconds));
            let timeline = Timeline::new(&Marks { loader, kernel, init, userspace }, Vec::new(), seconds(ready));
            let sum = timeline.firmware + timeline.loader + timeline.kernel_initrd + timeline.userspace;
            prop_assert_eq!(sum, timeline.ready);
        }
    }
}
