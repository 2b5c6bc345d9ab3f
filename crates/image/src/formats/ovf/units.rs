//! Units of quantities (DMTF DSP0004, annex C.1 "Programmatic Units"), and the older names that tools still write.

/// The number of bytes in a unit; none if it is not a unit of bytes, or is not understood.
pub(super) fn bytes(unit: &str) -> Option<u64> {
    let compact: String = unit.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let factor = match compact.as_str() {
        "byte" | "bytes" | "b" => 1,
        "kilobytes" | "kilobyte" | "kb" | "kib" | "kibibytes" => 1 << 10,
        "megabytes" | "megabyte" | "mb" | "mib" | "mebibytes" => 1 << 20,
        "gigabytes" | "gigabyte" | "gb" | "gib" | "gibibytes" => 1 << 30,
        "terabytes" | "terabyte" | "tb" | "tib" | "tebibytes" => 1 << 40,
        other => return product(other),
    };
    Some(factor)
}

/// `byte*2^30`, `byte*1024*1024`, `2^20*byte`.
fn product(text: &str) -> Option<u64> {
    let mut factors = text.split('*');
    let mut product = 1_u64;
    let mut names_bytes = false;
    factors.try_for_each(|factor| {
        if ["byte", "bytes"].contains(&factor) && !names_bytes {
            names_bytes = true;
            return Some(());
        }
        let number = match factor.split_once('^') {
            Some((base, exponent)) => base.parse::<u64>().ok()?.checked_pow(exponent.parse().ok()?)?,
            None => factor.parse().ok()?,
        };
        product = product.checked_mul(number)?;
        Some(())
    })?;
    names_bytes.then_some(product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_unit_is_parsed() {
        for (unit, expected) in [
            ("byte * 2^30", Some(1 << 30)),
            ("byte*2^20", Some(1 << 20)),
            ("byte * 10^9", Some(1_000_000_000)),
            ("byte * 1024 * 1024", Some(1 << 20)),
            ("MegaBytes", Some(1 << 20)),
            ("GB", Some(1 << 30)),
            ("bytes", Some(1)),
            ("hertz * 10^6", None),
            ("byte * 2^64", None),
            ("byte * byte", None),
            ("2^20", None),
        ] {
            assert_eq!(bytes(unit), expected, "{unit}");
        }
    }
}
