//! The formats of `%START_TIME(…)%`: those of `strftime` that need no locale, and Envoy's `%f`.

use crate::decimal::push_decimal;

/// A parsed format.
#[derive(Debug, PartialEq, Eq)]
pub struct TimeFormat(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(char),
    /// A conversion such as `Y`.
    Field(char),
    /// `%f` with the number of its digits.
    Fraction(u32),
}

const DAYS: &str = "SunMonTueWedThuFriSat";
const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

impl TimeFormat {
    /// Parses a format. An empty one stands for `%Y-%m-%dT%H:%M:%S.%3fZ`, as in Envoy. An error says what is wrong.
    pub fn parse(text: &str) -> Result<TimeFormat, &'static str> {
        let mut characters = match text {
            "" => "%Y-%m-%dT%H:%M:%S.%3fZ",
            _ => text,
        }
        .chars();
        let mut pieces = Vec::new();
        while let Some(character) = characters.next() {
            if character != '%' {
                pieces.push(Piece::Literal(character));
                continue;
            }
            match characters.next() {
                Some('%') => pieces.push(Piece::Literal('%')),
                Some('f') => pieces.push(Piece::Fraction(9)),
                Some(field) if "YmdHMSsjyebaFTzZ".contains(field) => {
                    pieces.push(Piece::Field(field))
                }
                Some(digit @ '1'..='9') if characters.next() == Some('f') => {
                    pieces.push(Piece::Fraction(digit.to_digit(10).unwrap_or(9)));
                }
                _ => {
                    return Err(
                        "supports %Y %m %d %H %M %S %s %f %3f %j %y %e %b %a %F %T %z %Z and %%",
                    );
                }
            }
        }
        Ok(TimeFormat(pieces))
    }

    /// Appends a time, given in nanoseconds since 1970-01-01 00:00 UTC.
    pub fn render(&self, nanoseconds: u64, text: &mut Vec<u8>) {
        let date = Date::of(nanoseconds / 1_000_000_000);
        for piece in &self.0 {
            match piece {
                Piece::Literal(character) => {
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Piece::Field(field) => date.push(*field, text),
                Piece::Fraction(digits) => {
                    let unit = 10_u64.pow(9_u32.saturating_sub(*digits));
                    push_decimal(text, nanoseconds % 1_000_000_000 / unit, *digits as usize);
                }
            }
        }
    }
}

/// A time of the Gregorian calendar.
struct Date {
    seconds: u64,
    year: u64,
    /// From 1.
    month: u64,
    /// From 1.
    day: u64,
    /// From 1.
    day_of_year: u64,
}

impl Date {
    fn of(seconds: u64) -> Date {
        let mut days = seconds / 86_400;
        // 400 years have 146097 days, and none of the loops below runs more than 400 times.
        let mut year = 1970 + days / 146_097 * 400;
        days %= 146_097;
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            if days < length {
                break;
            }
            days -= length;
            year += 1;
        }
        let day_of_year = days + 1;
        let mut month = 1;
        for length in [
            31,
            if is_leap(year) { 29 } else { 28 },
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
        ] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        Date {
            seconds,
            year,
            month,
            day: days + 1,
            day_of_year,
        }
    }

    fn push(&self, field: char, text: &mut Vec<u8>) {
        let second = self.seconds % 86_400;
        let (number, width) = match field {
            'Y' => (self.year, 4),
            'y' => (self.year % 100, 2),
            'm' => (self.month, 2),
            'd' => (self.day, 2),
            'j' => (self.day_of_year, 3),
            'H' => (second / 3600, 2),
            'M' => (second / 60 % 60, 2),
            'S' => (second % 60, 2),
            's' => (self.seconds, 1),
            'e' => {
                if self.day < 10 {
                    text.push(b' ');
                }
                (self.day, 1)
            }
            // 1970-01-01 was a Thursday.
            'a' => return push_name(DAYS, (self.seconds / 86_400 + 4) % 7, text),
            'b' => return push_name(MONTHS, self.month - 1, text),
            'F' | 'T' => {
                let (fields, separator) = if field == 'F' {
                    (['Y', 'm', 'd'], b'-')
                } else {
                    (['H', 'M', 'S'], b':')
                };
                for (index, field) in fields.into_iter().enumerate() {
                    if index > 0 {
                        text.push(separator);
                    }
                    self.push(field, text);
                }
                return;
            }
            'z' => return text.extend_from_slice(b"+0000"),
            _ => return text.extend_from_slice(b"UTC"),
        };
        push_decimal(text, number, width);
    }
}

/// Appends the name at an index of names of three letters.
fn push_name(names: &str, index: u64, text: &mut Vec<u8>) {
    let start = (index as usize).saturating_mul(3);
    text.extend_from_slice(
        names
            .as_bytes()
            .get(start..start.saturating_add(3))
            .unwrap_or_default(),
    );
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}
