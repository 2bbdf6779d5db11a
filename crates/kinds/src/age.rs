//! How long ago, as kubectl says it: `5s`, `3m20s`, `2d4h`.
use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Up to so many seconds, a duration is said in `unit`s and what is left of it in `rest`s.
struct Scale {
    below_secs: i64,
    unit: (i64, char),
    rest: Option<(i64, char)>,
}

const SCALES: [Scale; 9] = [
    Scale { below_secs: 2 * MINUTE, unit: (1, 's'), rest: None },
    Scale { below_secs: 10 * MINUTE, unit: (MINUTE, 'm'), rest: Some((1, 's')) },
    Scale { below_secs: 3 * HOUR, unit: (MINUTE, 'm'), rest: None },
    Scale { below_secs: 8 * HOUR, unit: (HOUR, 'h'), rest: Some((MINUTE, 'm')) },
    Scale { below_secs: 2 * DAY, unit: (HOUR, 'h'), rest: None },
    Scale { below_secs: 8 * DAY, unit: (DAY, 'd'), rest: Some((HOUR, 'h')) },
    Scale { below_secs: 2 * YEAR, unit: (DAY, 'd'), rest: None },
    Scale { below_secs: 8 * YEAR, unit: (YEAR, 'y'), rest: Some((DAY, 'd')) },
    Scale { below_secs: i64::MAX, unit: (YEAR, 'y'), rest: None },
];

/// Clocks that differ by a second are no reason to print nonsense; more than that is.
pub fn human_duration(seconds: i64) -> String {
    if seconds < 0 {
        return if seconds == -1 { "0s".into() } else { "<invalid>".into() };
    }
    let scale = SCALES.iter().find(|scale| seconds < scale.below_secs).unwrap_or(&SCALES[8]);
    let (unit, letter) = scale.unit;
    let whole = format!("{}{letter}", seconds / unit);
    match scale.rest {
        Some((rest, letter)) if seconds % unit / rest > 0 => format!("{whole}{}{letter}", seconds % unit / rest),
        _ => whole,
    }
}

/// The age of an RFC 3339 time; `<unknown>` when there is none.
pub fn age(time: Option<&str>, now: Timestamp) -> String {
    match time.and_then(|time| time.parse::<Timestamp>().ok()) {
        Some(time) => since(time, now),
        None => "<unknown>".into(),
    }
}

/// Whole seconds only: 1.9 seconds ago is one second ago.
pub(crate) fn since(time: Timestamp, now: Timestamp) -> String {
    human_duration(now.duration_since(time).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_kubectl_says_them() {
        for (seconds, said) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (10 * 60 + 5, "10m"),
            (179 * 60 + 59, "179m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 61, "3h1m"),
            (8 * 3600 + 61, "8h"),
            (47 * 3600, "47h"),
            (48 * 3600, "2d"),
            (7 * 86400 + 3 * 3600, "7d3h"),
            (8 * 86400 + 3 * 3600, "8d"),
            (700 * 86400, "700d"),
            (730 * 86400, "2y"),
            (800 * 86400, "2y70d"),
            (3000 * 86400, "8y"),
        ] {
            assert_eq!(human_duration(seconds), said, "{seconds}");
        }
    }

    #[test]
    fn an_age_needs_a_time() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        for (time, said) in [
            (Some("2026-01-01T00:00:00Z"), "10m"),
            (Some("2026-01-01T00:09:58.999999Z"), "1s"),
            (None, "<unknown>"),
            (Some("x"), "<unknown>"),
        ] {
            assert_eq!(age(time, now), said);
        }
    }
}
