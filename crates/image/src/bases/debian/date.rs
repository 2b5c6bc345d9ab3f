//! Days and seconds of the Gregorian calendar, in UTC.

/// The months as RFC 5322 writes them, which the archive's `Release` files follow.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sat, 14 Nov 2026 09:53:00 UTC` in seconds since 1970.
pub(super) fn parse_release(text: &str) -> Option<u64> {
    let words: Vec<&str> = text.split_once(',')?.1.split_whitespace().collect();
    let [day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let [hour, minute, second] = three(time, ':')?;
    seconds([number(year)?, month, number(day)?], [hour, minute, second])
}

/// `2026-11-14T09:53:00Z` in seconds since 1970.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    seconds(three(date, '-')?, three(time, ':')?).filter(|seconds| show(*seconds) == text)
}

/// The inverse of [`parse`].
pub(super) fn show(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970 + days / 366;
    while day_number(year + 1, 1, 1) <= days {
        year += 1;
    }
    let in_year = days - day_number(year, 1, 1);
    let month = (1..=12).rev().find(|month| day_number(year, *month, 1) <= days).unwrap_or(1);
    debug_assert!(in_year < 366);
    let day = days - day_number(year, month, 1) + 1;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn seconds([year, month, day]: [u64; 3], [hour, minute, second]: [u64; 3]) -> Option<u64> {
    let valid = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    valid.then(|| day_number(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01.
fn day_number(year: u64, month: u64, day: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let index = usize::try_from(month - 1).unwrap_or_default();
    let leap_day = u64::from(is_leap && month > 2);
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969) + BEFORE[index] + leap_day + day - 1
}

fn three(text: &str, separator: char) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = text.split(separator).map(number).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_are_converted() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-01-01T00:00:00Z", 1_767_225_600),
            ("2026-12-31T23:59:59Z", 1_798_761_599),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
            assert_eq!(show(seconds), text);
        }
        assert_eq!(parse_release("Thu, 01 Jan 2026 00:00:00 UTC"), Some(1_767_225_600));
    }

    #[test]
    fn every_date_round_trips_and_invalid_dates_are_refused() {
        for day in (0..200_000).step_by(17) {
            let seconds = day * 86_400 + 3723;
            assert_eq!(parse(&show(seconds)), Some(seconds));
        }
        for bad in
            ["", "2026-02-30T00:00:00Z", "2026-1-1T00:00:00Z", "x", "2026-01-01", "2026-01-01T24:00:00Z"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse_release("Thu, 01 Foo 2026 00:00:00 UTC"), None);
    }
}
