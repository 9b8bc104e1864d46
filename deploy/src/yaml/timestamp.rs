//! Recognizes timestamps, as Go's library accepts them for the tag `!!timestamp`.

/// Returns whether the text is a timestamp: a date such as `2026-1-2`, optionally followed by `T`, `t` or a space and a
/// time. With `T` or `t` a time zone is required, and with a space it is not permitted.
pub fn is_one(text: &str) -> bool {
    let mut rest = text;
    let rest = &mut rest;
    let year = digits(rest, 4..=4);
    let date = sign(rest, "-").then(|| digits(rest, 1..=2));
    let month = date.flatten();
    let day = sign(rest, "-").then(|| digits(rest, 1..=2)).flatten();
    let (Some(year), Some(month @ 1..=12), Some(day @ 1..)) = (year, month, day) else {
        return false;
    };
    if day > days(year, month) {
        return false;
    }
    if rest.is_empty() {
        return true;
    }
    let is_local = sign(rest, " ");
    // Go accepts any number of spaces.
    while sign(rest, " ") {}
    if !is_local && !sign(rest, "T") && !sign(rest, "t") {
        return false;
    }
    if !clock(rest) {
        return false;
    }
    (is_local || zone(rest)) && rest.is_empty()
}

/// Parses hours, minutes, seconds and optional fractions of a second.
fn clock(rest: &mut &str) -> bool {
    for (separator, most) in [("", 23), (":", 59), (":", 59)] {
        if !sign(rest, separator) || digits(rest, 1..=2).is_none_or(|number| number > most) {
            return false;
        }
    }
    if let Some(fraction) = rest.strip_prefix(['.', ','])
        && fraction.starts_with(|char: char| char.is_ascii_digit())
    {
        *rest = fraction.trim_start_matches(|char: char| char.is_ascii_digit());
    }
    true
}

/// Parses `Z`, or hours and minutes with two digits each.
fn zone(rest: &mut &str) -> bool {
    if sign(rest, "Z") {
        return true;
    }
    if !sign(rest, "+") && !sign(rest, "-") {
        return false;
    }
    let hours = digits(rest, 2..=2);
    let minutes = sign(rest, ":").then(|| digits(rest, 2..=2)).flatten();
    hours.is_some_and(|hours| hours <= 24) && minutes.is_some_and(|minutes| minutes <= 60)
}

fn sign(rest: &mut &str, sign: &str) -> bool {
    let behind = rest.strip_prefix(sign);
    *rest = behind.unwrap_or(rest);
    behind.is_some()
}

/// Parses a number with the given number of digits.
fn digits(rest: &mut &str, count: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let there = rest
        .bytes()
        .take(*count.end())
        .take_while(u8::is_ascii_digit)
        .count();
    if there < *count.start() {
        return None;
    }
    let (number, behind) = rest.split_at_checked(there)?;
    *rest = behind;
    number.parse().ok()
}

fn days(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
