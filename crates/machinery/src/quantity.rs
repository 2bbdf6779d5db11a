//! `Quantity`: amounts of CPU, memory and other resources, `500m`, `1Gi`, `1e3`.
//!
//! Kept as a whole number of billionths, the finest that Kubernetes keeps: exact, 32 bytes, no allocation.
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{cmp::Ordering, fmt, iter::Sum, ops, str::FromStr};

const NANOS: i128 = 1_000_000_000;
/// Amounts beyond 2^63-1 are cut to it, as the API documents.
const MAX_NANOS: i128 = i64::MAX as i128 * NANOS;
/// More digits than any amount within the limits can use: the rest only rounds up.
const MAX_DIGITS: u32 = 28;
/// No exponent beyond it changes the outcome: more than the limit, or a rest that rounds up.
const MAX_EXPONENT: i32 = 64;
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(i32, &str); 10] =
    [(-9, "n"), (-6, "u"), (-3, "m"), (0, ""), (3, "k"), (6, "M"), (9, "G"), (12, "T"), (15, "P"), (18, "E")];

/// Two quantities are equal when they are the same amount, however they are written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

/// How an amount was written, and will be written again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Decimal,
    Binary,
    Exponent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    pub const ZERO: Self = Self { nanos: 0, form: Form::Decimal };

    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || whole.len() + fraction.len() == 0 {
            return Err(QuantityError::Format);
        }
        if !suffix.chars().all(|c| "eEinumkKMGTP+-0123456789".contains(c)) {
            return Err(QuantityError::Format);
        }
        let (form, base) = suffix_value(suffix).ok_or(QuantityError::Suffix)?;
        let nanos = scaled(whole, fraction, base);
        Ok(Self { nanos: if negative { -nanos } else { nanos }, form })
    }

    pub fn from_millis(millis: i64) -> Self {
        Self { nanos: (i128::from(millis) * (NANOS / 1000)).clamp(-MAX_NANOS, MAX_NANOS), form: Form::Decimal }
    }

    pub fn from_bytes(bytes: i64) -> Self {
        Self { nanos: i128::from(bytes) * NANOS, form: Form::Binary }
    }

    pub fn from_count(count: i64) -> Self {
        Self { nanos: i128::from(count) * NANOS, form: Form::Decimal }
    }

    /// Thousandths, rounded up: what CPU is counted in. Too much is cut.
    pub fn milli(self) -> i64 {
        saturate(divide_up(self.nanos, NANOS / 1000))
    }

    /// Whole units, rounded up: bytes, or a count. Too much is cut.
    pub fn value(self) -> i64 {
        saturate(divide_up(self.nanos, NANOS))
    }

    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// The sum keeps the left side's form, unless there is nothing on the left.
    fn plus(self, other: i128, form: Form) -> Self {
        Self { nanos: (self.nanos + other).clamp(-MAX_NANOS, MAX_NANOS), form: if self.is_zero() { form } else { self.form } }
    }
}

/// The form that a suffix tells, and its value as a power of two and one of ten.
fn suffix_value(suffix: &str) -> Option<(Form, (u32, i32))> {
    if let Some(at) = BINARY.iter().position(|s| *s == suffix) {
        let thousands = u32::try_from(at).ok()? + 1;
        return Some((Form::Binary, (10 * thousands, 0)));
    }
    if let Some((power, _)) = DECIMAL.iter().find(|(_, s)| *s == suffix) {
        return Some((Form::Decimal, (0, *power)));
    }
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let limited = unsigned.parse::<i32>().unwrap_or(MAX_EXPONENT).min(MAX_EXPONENT);
    Some((Form::Exponent, (0, if digits.starts_with('-') { -limited } else { limited })))
}

/// Digits times two to the one times ten to the other power, in billionths, rounded away from zero and cut to the limit.
fn scaled(whole: &str, fraction: &str, (two, ten): (u32, i32)) -> i128 {
    let (mut digits, mut taken, mut ten, mut rest) = (0i128, 0u32, ten.saturating_add(9), false);
    for (digit, is_fraction) in whole.bytes().map(|b| (b, false)).chain(fraction.bytes().map(|b| (b, true))) {
        if taken >= MAX_DIGITS {
            rest |= digit != b'0';
            ten = ten.saturating_add(i32::from(!is_fraction));
            continue;
        }
        digits = digits * 10 + i128::from(digit - b'0');
        taken += u32::from(digits != 0);
        ten = ten.saturating_sub(i32::from(is_fraction));
    }
    if digits == 0 {
        return i128::from(rest);
    }
    let power = |exponent: i32| 10i128.checked_pow(exponent.unsigned_abs());
    let product = digits.checked_mul(1i128 << two);
    let nanos = match (product, power(ten)) {
        (Some(product), Some(power)) if ten >= 0 => product.checked_mul(power),
        (Some(product), Some(power)) => Some(divide_up(product, power)),
        (Some(_), None) if ten < 0 => Some(1),
        // Too many digits before a binary suffix: divide first. What that loses lies below a billionth of the amount.
        (None, Some(power)) if ten < 0 => divide_up(digits, power).checked_mul(1i128 << two),
        _ => None,
    };
    nanos.map_or(MAX_NANOS, |nanos| nanos.saturating_add(i128::from(rest)).min(MAX_NANOS))
}

/// Divides away from zero.
fn divide_up(dividend: i128, divisor: i128) -> i128 {
    let quotient = dividend / divisor;
    if dividend % divisor == 0 { quotient } else { quotient + dividend.signum() }
}

fn saturate(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

impl fmt::Display for Quantity {
    /// The canonical form: the largest suffix that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.form == Form::Binary && self.nanos % NANOS == 0 && self.nanos.abs() >= 1024 * NANOS {
            let (mut whole, mut suffix) = (self.nanos / NANOS, "");
            for larger in BINARY {
                if whole % 1024 != 0 {
                    break;
                }
                (whole, suffix) = (whole / 1024, larger);
            }
            return write!(f, "{whole}{suffix}");
        }
        let (mut whole, mut step) = (self.nanos, 0);
        while whole % 1000 == 0 && step + 1 < DECIMAL.len() {
            (whole, step) = (whole / 1000, step + 1);
        }
        let (power, suffix) = DECIMAL[step];
        match self.form {
            Form::Exponent if power != 0 => write!(f, "{whole}e{power}"),
            _ => write!(f, "{whole}{suffix}"),
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl ops::Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.plus(other.nanos, other.form)
    }
}
impl ops::Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.plus(-other.nanos, other.form)
    }
}
impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, ops::Add::add)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// Strings and bare numbers; `null` and the empty string are nothing, as in every API object.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                if text.is_empty() { Ok(Quantity::ZERO) } else { Quantity::parse(text).map_err(E::custom) }
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity::from_count(number))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity::from_count(i64::try_from(number).unwrap_or(i64::MAX)))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
                Quantity::parse(&number.to_string()).map_err(E::custom)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Quantity, E> {
                Ok(Quantity::ZERO)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantity {
        Quantity::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// What `kubectl set env --local` (1.33) answered to each of these.
    #[test]
    fn is_written_as_kubernetes_writes_it() {
        for (text, canonical) in [
            ("0", "0"),
            ("0Ki", "0"),
            ("-0", "0"),
            ("1", "1"),
            ("1.5", "1500m"),
            ("1000m", "1"),
            ("100m", "100m"),
            ("0.1m", "100u"),
            ("0.0000000001", "1n"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("123456789", "123456789"),
            ("1e3", "1e3"),
            ("1.5e3", "1500"),
            ("12e6", "12e6"),
            ("1e-3", "1e-3"),
            ("1Ki", "1Ki"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Gi", "512Mi"),
            ("0.5Ki", "512"),
            ("0.1Ki", "102400m"),
            ("1.1Ki", "1126400m"),
            ("1024.5Ki", "1049088"),
            ("1E", "1E"),
            ("1000P", "1E"),
            (".5", "500m"),
            ("-1.5Gi", "-1536Mi"),
            ("100000k", "100M"),
            ("8Ei", "9223372036854775807"),
            ("1e4", "10e3"),
            ("1e-10", "1e-9"),
            ("1e18", "1e18"),
            ("1000000u", "1"),
            ("0.001n", "1n"),
        ] {
            assert_eq!(q(text).to_string(), canonical, "{text}");
            assert_eq!(q(canonical), q(&q(text).to_string()));
        }
    }

    /// The real server repeats these as they came; the amount is the same.
    #[test]
    fn is_written_plainer_or_cut_where_kubernetes_repeats_it() {
        for (text, canonical) in [
            ("1E3", "1e3"),
            ("1500e0", "1500"),
            ("5.", "5"),
            ("+1", "1"),
            ("1e999999", "9223372036854775807"),
            ("10E", "9223372036854775807"),
        ] {
            assert_eq!(q(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for (text, error) in [
            ("", QuantityError::Format),
            ("-", QuantityError::Format),
            ("lots", QuantityError::Format),
            ("1.2.3", QuantityError::Format),
            ("1 Gi", QuantityError::Format),
            ("1ä", QuantityError::Format),
            ("1Kii", QuantityError::Suffix),
            ("1K", QuantityError::Suffix),
            ("1e", QuantityError::Suffix),
            ("1e+", QuantityError::Suffix),
            ("1i", QuantityError::Suffix),
        ] {
            assert_eq!(Quantity::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn counts_rounded_up_and_cut() {
        for (text, milli, value) in [
            ("100m", 100, 1),
            ("0.1m", 1, 1),
            ("1.5Gi", 1_610_612_736_000, 1_610_612_736),
            ("-1.5", -1500, -2),
            ("8E", i64::MAX, 8_000_000_000_000_000_000),
        ] {
            assert_eq!((q(text).milli(), q(text).value()), (milli, value), "{text}");
        }
    }

    #[test]
    fn adds_compares_and_keeps_the_form() {
        assert_eq!((q("1Gi") + q("512M")).to_string(), "1548576Ki");
        assert_eq!(["100m", "1", "0.9"].map(q).into_iter().sum::<Quantity>().to_string(), "2");
        assert_eq!([q("1Gi"), q("1Gi")].into_iter().sum::<Quantity>().to_string(), "2Gi");
        assert_eq!((q("1") - q("250m")).to_string(), "750m");
        assert!(q("1Gi") > q("1G") && q("1") == q("1000m") && q("-1") < Quantity::ZERO);
        assert_eq!(Quantity::from_bytes(1 << 30).to_string(), "1Gi");
    }

    #[test]
    fn reads_strings_numbers_and_nothing() {
        for (json, canonical) in
            [("\"1Gi\"", "1Gi"), ("2", "2"), ("0.5", "500m"), ("null", "0"), ("\"\"", "0"), ("18446744073709551615", "9223372036854775807")]
        {
            assert_eq!(serde_json::from_str::<Quantity>(json).unwrap().to_string(), canonical, "{json}");
        }
        assert!(serde_json::from_str::<Quantity>("\"x\"").unwrap_err().to_string().starts_with("quantities must match"));
    }

    #[test]
    fn never_panics_on_long_numbers() {
        for text in [
            "9".repeat(500),
            format!("0.{}", "9".repeat(500)),
            format!("{}Ei", "9".repeat(40)),
            format!("0.{}1Ei", "0".repeat(60)),
            format!("1e-{}", "9".repeat(50)),
        ] {
            let _shown = q(&text).to_string();
        }
    }
}
