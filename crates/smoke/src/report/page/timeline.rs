//! The time of a boot as bars to scale.

use maud::{Markup, html};

use super::text::{Text, seconds};
use crate::report::{Boot, BootFailure, BootTimes};

/// The maximum number of grid lines, not counting the one at zero.
const MOST_TICKS: f64 = 5.0;

/// One bar.
#[derive(Debug, Clone, PartialEq)]
struct Bar {
    label: String,
    kind: Kind,
    /// Seconds since the boot's beginning.
    from: f64,
    to: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One of the phases that follow each other.
    Phase,
    /// Something in the guest that runs in parallel with others: only its end is known.
    Service,
    /// Where a boot hung.
    Hung,
}

/// The chart of a boot.
pub(super) fn chart(boot: &Boot) -> Markup {
    let (bars, total) = match boot {
        Boot::Ready(times) => (ready(times), times.ready),
        Boot::Failed(failure) => (hung(failure), failure.waited),
    };
    let total = bars.iter().map(|bar| bar.to).fold(total, f64::max);
    let share = |at: f64| if total > 0.0 { (at / total * 100.0).clamp(0.0, 100.0) } else { 0.0 };
    html! {
        table.timeline {
            caption.unseen { "When each stage of the boot began and ended" }
            thead { tr {
                th scope="col" { "Stage" }
                th.axis scope="col" {
                    span.unseen { "Bar" }
                    span.track aria-hidden="true" {
                        @for tick in ticks(total) {
                            span.tick style=(format!("left:{:.2}%", share(tick))) { (tick) " s" }
                        }
                    }
                }
                th.number scope="col" { "Took" }
                th.number scope="col" { "Until" }
            } }
            tbody {
                @for bar in &bars {
                    tr class=(class(bar.kind)) {
                        th scope="row" { (Text(&bar.label)) }
                        td { span.track aria-hidden="true" {
                            @for tick in ticks(total) {
                                span.line style=(format!("left:{:.2}%", share(tick))) {}
                            }
                            span.bar style=(format!("left:{:.2}%;width:{:.2}%", share(bar.from), share(bar.to - bar.from))) {}
                        } }
                        td.number { @if bar.kind == Kind::Service { span.unseen { "unknown" } } @else { (seconds(bar.to - bar.from)) } }
                        td.number { (seconds(bar.to)) }
                    }
                }
            }
        }
    }
}

/// The phases in sequence, then the stages that the guest reported, each from the beginning of userspace to its report.
fn ready(times: &BootTimes) -> Vec<Bar> {
    let phases = [
        ("firmware", times.firmware),
        ("boot loader", times.loader),
        ("kernel + initrd", times.kernel_initrd),
        ("userspace", times.userspace),
    ];
    let mut bars = Vec::new();
    let mut at = 0.0;
    for (label, took) in phases {
        bars.push(Bar { label: label.into(), kind: Kind::Phase, from: at, to: at + took });
        at += took;
    }
    let begin = times.ready - times.userspace;
    // The stages "userspace" and "ready" are the beginning and the end of the userspace bar.
    let shown = times.stages.iter().filter(|stage| !["userspace", "ready"].contains(&stage.stage.as_str()));
    bars.extend(shown.map(|stage| Bar {
        label: stage.stage.clone(),
        kind: Kind::Service,
        from: begin.min(stage.at),
        to: stage.at,
    }));
    bars
}

/// Each stage lasts until the next one, and the last until the wait ended.
fn hung(failure: &BootFailure) -> Vec<Bar> {
    let ends = failure.reached.iter().skip(1).map(|next| next.at).chain([failure.waited]);
    let mut bars: Vec<Bar> = failure
        .reached
        .iter()
        .zip(ends)
        .map(|(stage, to)| Bar { label: stage.stage.clone(), kind: Kind::Phase, from: stage.at, to })
        .collect();
    if let Some(last) = bars.last_mut() {
        last.kind = Kind::Hung;
    }
    bars
}

/// The positions of the grid lines: multiples of 1, 2 or 5 times a power of ten.
fn ticks(total: f64) -> Vec<f64> {
    if !(total.is_finite() && total > 0.0) {
        return Vec::new();
    }
    let least = total / MOST_TICKS;
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least);
    let step = step.unwrap_or(total);
    let mut ticks = Vec::new();
    let mut factor = 0.0;
    while factor * step <= total {
        // Repeatedly adding a tenth would accumulate rounding errors.
        ticks.push((factor * step * 1e6).round() / 1e6);
        factor += 1.0;
    }
    ticks
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Phase => "phase",
        Kind::Service => "service",
        Kind::Hung => "hung",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::StageTime;
    use crate::report::samples;

    fn shown(bars: &[Bar]) -> Vec<(&str, f64, f64)> {
        bars.iter().map(|bar| (bar.label.as_str(), bar.from, bar.to)).collect()
    }

    #[test]
    fn phases_are_sequential_and_services_parallel() {
        let stage = |stage: &str, at| StageTime { stage: stage.into(), at };
        let times = BootTimes {
            firmware: 0.5,
            loader: 1.0,
            kernel_initrd: 2.0,
            userspace: 3.0,
            ready: 6.5,
            stages: vec![stage("userspace", 3.6), stage("sshd", 5.0), stage("ready", 6.5)],
        };
        assert_eq!(
            shown(&ready(&times)),
            [
                ("firmware", 0.0, 0.5),
                ("boot loader", 0.5, 1.5),
                ("kernel + initrd", 1.5, 3.5),
                ("userspace", 3.5, 6.5),
                ("sshd", 3.5, 5.0)
            ]
        );
    }

    #[test]
    fn a_hanging_boot_ends_in_the_stage_that_hangs() {
        let run = samples::failed_boot();
        let bars = hung(run.boot_failure().unwrap());
        assert_eq!(shown(&bars), [("firmware", 0.05, 8.0), ("initrd", 8.0, 300.0)]);
        assert_eq!(bars.iter().map(|bar| bar.kind).collect::<Vec<_>>(), [Kind::Phase, Kind::Hung]);
    }

    #[test]
    fn the_grid_has_a_few_round_values() {
        assert_eq!(ticks(6.5), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(ticks(49.2), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(ticks(0.9), [0.0, 0.2, 0.4, 0.6, 0.8]);
        assert_eq!(ticks(300.0), [0.0, 100.0, 200.0, 300.0]);
        for total in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(ticks(total).is_empty());
        }
    }

    #[test]
    fn bars_are_to_scale() {
        let html = chart(&samples::mixed().boot).into_string();
        for (left, width) in [("0.00", "7.69"), ("7.69", "15.38"), ("23.08", "30.77"), ("53.85", "46.15")] {
            assert!(html.contains(&format!("left:{left}%;width:{width}%")), "{left} {width}: {html}");
        }
    }
}
