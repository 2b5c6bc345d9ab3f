//! Interprets the answers of programs.

use crate::inspect::{ImageKind, Inspection, ManifestMatch};

/// The outcome of a program's check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyOutcome {
    /// It found no problem; its output.
    Valid(String),
    /// It found a problem.
    Invalid(String),
    /// It could not be run.
    Unknown(String),
    /// The host does not have it.
    ToolMissing,
}

/// A program's output and exit code.
pub(super) struct Answer {
    pub(super) command: String,
    pub(super) lines: Vec<String>,
    pub(super) code: i32,
}

/// The output of a successful check, or the problem.
pub(super) type Interpretation = Result<String, String>;

/// How many lines of an answer are reported.
const MAX_LINES: usize = 6;

/// A program that exits with 0 if it found no problem.
pub(super) fn by_code(answer: &Answer) -> Interpretation {
    if answer.code == 0 {
        // qemu-img continues with statistics.
        let good = answer.lines.iter().find(|line| line.starts_with("No errors")).or(answer.lines.last());
        return Ok(good.cloned().unwrap_or_else(|| "nothing wrong".into()));
    }
    Err(broken(answer))
}

/// sfdisk(8) exits with 0 even if one of the two tables is damaged, or the disk has another size than they state.
pub(super) fn sfdisk(answer: &Answer) -> Interpretation {
    let is_bad = |line: &&String| line.contains("corrupt") || line.contains("mismatch");
    let good = answer.lines.iter().find(|line| line.starts_with("No errors detected"));
    match (good, answer.lines.iter().find(is_bad)) {
        (Some(line), None) if answer.code == 0 => Ok(line.clone()),
        _ => Err(broken(answer)),
    }
}

/// sgdisk(8) exits with 0 whatever it finds.
pub(super) fn sgdisk(answer: &Answer) -> Interpretation {
    let good = answer.lines.iter().find(|line| line.starts_with("No problems found"));
    match good {
        Some(line) if answer.code == 0 => Ok(line.clone()),
        _ => Err(broken(answer)),
    }
}

/// Lines such as `El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4         134` (xorriso(1),
/// `-report_el_torito`): the third word after the colon says whether it is bootable.
pub(super) fn el_torito(answer: &Answer) -> Interpretation {
    let boots = |platform: &str| {
        answer.lines.iter().any(|line| {
            let rest = line.strip_prefix("El Torito boot img").and_then(|rest| rest.split_once(':'));
            let words: Vec<&str> =
                rest.map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
            words.get(1..3) == Some(&[platform, "y"])
        })
    };
    if answer.code != 0 {
        return Err(broken(answer));
    }
    match (boots("BIOS"), boots("UEFI")) {
        (true, true) => Ok("El Torito boot images for BIOS and UEFI".into()),
        (bios, uefi) => Err(format!("boots with BIOS: {bios}, with UEFI: {uefi}\n{}", broken(answer))),
    }
}

fn broken(answer: &Answer) -> String {
    let from = answer.lines.len().saturating_sub(MAX_LINES);
    format!("`{}` ended with code {}:\n{}", answer.command, answer.code, answer.lines[from..].join("\n"))
}

/// Our own check.
pub(super) fn inspection(found: &Inspection) -> VerifyOutcome {
    let differs = match &found.manifest {
        ManifestMatch::Differs { detail } => Some(format!("it is not what its manifest describes: {detail}")),
        _ => None,
    };
    let wrong: Vec<String> = found.problems.iter().cloned().chain(differs).collect();
    if !wrong.is_empty() {
        return VerifyOutcome::Invalid(wrong.join("\n"));
    }
    let kind = match &found.kind {
        ImageKind::Raw => "raw disk".into(),
        ImageKind::Qcow2(_) => "qcow2".into(),
        ImageKind::Vmdk(facts) => facts.kind.clone(),
        ImageKind::Ova(facts) => {
            let machine = facts.machine.as_ref().map_or("", |machine| machine.family.as_str());
            format!("OVA for {machine}, {} digests hold, by our own parser", facts.digests_hold)
        }
        ImageKind::Ovf(facts) | ImageKind::Vmx(facts) => facts.family.clone(),
        ImageKind::Iso(facts) => format!("ISO {}", facts.volume),
        ImageKind::Zst(facts) => format!("compressed raw disk, {} frames", facts.frames),
        ImageKind::Packed { packing, holds } => format!("{} compressed by {}", holds.name(), packing.name()),
        ImageKind::Other { container } => container.name().into(),
        ImageKind::Unknown => return VerifyOutcome::Invalid("it has no known format".into()),
    };
    VerifyOutcome::Valid(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i32, text: &str) -> Answer {
        Answer { command: "x".into(), lines: text.lines().map(str::to_owned).collect(), code }
    }

    #[test]
    fn both_boot_images_of_an_iso_must_be_bootable() {
        let bios = "El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4         134";
        let uefi = "El Torito boot img :   2  UEFI  y   none  0x0000  0x00   8192       14338";
        let both = format!("El Torito catalog  : 34  1\n{bios}\n{uefi}\nEl Torito img path :   1  /boot/x");
        assert!(el_torito(&answer(0, &both)).is_ok());
        assert!(el_torito(&answer(0, bios)).unwrap_err().contains("with UEFI: false"));
        assert!(el_torito(&answer(0, &both.replace("UEFI  y", "UEFI  n"))).is_err());
        assert!(el_torito(&answer(5, &both)).is_err());
    }

    #[test]
    fn sgdisk_problems_are_found_despite_exit_code_0() {
        let good = "No problems found. 12 free sectors (6.0 KiB) available in 1 segments.";
        assert!(sgdisk(&answer(0, good)).is_ok());
        let bad = "Problem: The secondary header's self-pointer indicates ...\nIdentified 1 problems!";
        assert!(sgdisk(&answer(0, bad)).unwrap_err().contains("Identified 1 problems!"));
    }
}
