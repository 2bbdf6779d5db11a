//! Conditions of a status, as loops write them: a transition has a time only when the status itself changes.
use jiff::Timestamp;
use knarr_cluster::views::Condition;
use serde_json::{Value, json};

/// A time as objects carry it: whole seconds.
pub(crate) fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).expect("a moment without its fraction is a moment")
}

/// The list with one condition set. What it says already stays untouched, times included.
pub(crate) fn set(list: &[Condition], kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Box<[Condition]> {
    let now = whole_seconds(now);
    let old = list.iter().find(|condition| *condition.kind == *kind);
    if old.is_some_and(|old| *old.status == *status && *old.reason == *reason && *old.message == *message) {
        return list.into();
    }
    let since = old.filter(|old| *old.status == *status).and_then(|old| old.last_transition_time).unwrap_or(now);
    let new = Condition {
        kind: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: Some(since),
        last_update_time: Some(now),
        ..Condition::default()
    };
    let mut list: Vec<_> = list.to_vec();
    match list.iter_mut().find(|condition| *condition.kind == *kind) {
        Some(old) => *old = new,
        None => list.push(new),
    }
    list.into()
}

pub(crate) fn without(list: &[Condition], kind: &str) -> Box<[Condition]> {
    list.iter().filter(|condition| *condition.kind != *kind).cloned().collect()
}

/// As it stands in an object. `lastUpdateTime` is there only for kinds that have it.
pub(crate) fn to_json(list: &[Condition], has_update_time: bool) -> Value {
    let one = |condition: &Condition| {
        let mut value = json!({"type": condition.kind, "status": condition.status, "reason": condition.reason, "message": condition.message,
            "lastTransitionTime": condition.last_transition_time});
        if has_update_time {
            value["lastUpdateTime"] = json!(condition.last_update_time);
        }
        value
    };
    list.iter().map(one).collect()
}

/// A count as statuses have it: left out, which is `null` in a patch, when it is zero.
pub(crate) fn count(number: i32) -> Value {
    if number == 0 { Value::Null } else { json!(number) }
}
