//! Counts what was said before, and makes the writes that tell it. Pure: time is an argument.
use super::{Occurrence, Origin};
use crate::{Options, PatchType, Target, Verb, Write};
use jiff::{Timestamp, tz::TimeZone};
use knarr_machinery::{GroupResource, Key};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// What was said and is remembered, so that saying it again counts up: what a busy node says in an hour, after which events expire anyway.
const REMEMBERED: usize = 2048;
/// Kubernetes refuses longer messages.
const MESSAGE_BYTES: usize = 1024;
/// Where events go that are about objects without a namespace.
const DEFAULT_NAMESPACE: &str = "default";

pub(super) struct Tally {
    origin: Origin,
    told: HashMap<Occurrence, Told>,
    /// By last use, oldest first: what is forgotten when there is too much.
    used: BTreeMap<u64, Occurrence>,
    clock: u64,
    /// Names carry the time in nanoseconds; two of one moment must differ.
    last_nanos: i128,
    untold: Vec<Occurrence>,
}

struct Told {
    name: String,
    count: u32,
    first: Timestamp,
    last: Timestamp,
    used: u64,
    is_written: bool,
    is_untold: bool,
}

/// A write and what it tells.
pub(super) struct Tell {
    pub(super) occurrence: Occurrence,
    pub(super) write: Write,
}

impl Tally {
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, told: HashMap::new(), used: BTreeMap::new(), clock: 0, last_nanos: 0, untold: vec![] }
    }

    pub(super) fn count(&mut self, occurrence: Occurrence, now: Timestamp) {
        self.clock += 1;
        if !self.told.contains_key(&occurrence) {
            let name = self.name(&occurrence, now);
            let told = Told { name, count: 0, first: now, last: now, used: self.clock, is_written: false, is_untold: false };
            self.told.insert(occurrence.clone(), told);
        }
        let told = self.told.get_mut(&occurrence).expect("it is there or was just put there");
        self.used.remove(&told.used);
        (told.count, told.last, told.used) = (told.count.saturating_add(1), now, self.clock);
        self.used.insert(self.clock, occurrence.clone());
        if !told.is_untold {
            told.is_untold = true;
            self.untold.push(occurrence);
        }
        if self.told.len() > REMEMBERED
            && let Some((_, oldest)) = self.used.pop_first()
        {
            self.told.remove(&oldest);
        }
    }

    /// The writes for what was counted since the last time.
    pub(super) fn untold(&mut self) -> Vec<Tell> {
        let mut tells = vec![];
        for occurrence in std::mem::take(&mut self.untold) {
            let Some(told) = self.told.get_mut(&occurrence) else { continue };
            told.is_untold = false;
            let is_new = !std::mem::replace(&mut told.is_written, true);
            let told = &self.told[&occurrence];
            let write = if is_new { create(&self.origin, &occurrence, told) } else { repeat(&occurrence, told) };
            tells.push(Tell { occurrence, write });
        }
        tells
    }

    /// The event written whole again, under a new name: the old one has gone.
    pub(super) fn anew(&mut self, occurrence: &Occurrence) -> Option<Write> {
        let last = self.told.get(occurrence)?.last;
        let name = self.name(occurrence, last);
        let told = self.told.get_mut(occurrence)?;
        told.name = name;
        Some(create(&self.origin, occurrence, told))
    }

    pub(super) fn forget(&mut self, occurrence: &Occurrence) {
        if let Some(told) = self.told.remove(occurrence) {
            self.used.remove(&told.used);
        }
    }

    /// `web-0.17f3a9c1d2e4b5a6`, as Kubernetes names events.
    fn name(&mut self, occurrence: &Occurrence, now: Timestamp) -> String {
        self.last_nanos = now.as_nanosecond().max(self.last_nanos + 1);
        format!("{}.{:x}", occurrence.about.name, self.last_nanos)
    }
}

/// A message of a length that Kubernetes takes, cut between characters.
pub(super) fn shorten(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES)]
}

fn create(origin: &Origin, occurrence: &Occurrence, told: &Told) -> Write {
    let mut source = json!({"component": origin.component});
    if let Some(host) = &origin.host {
        source["host"] = json!(host);
    }
    let body = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": told.name, "namespace": namespace(occurrence)},
        "involvedObject": involved(occurrence),
        "reason": occurrence.reason,
        "message": occurrence.message,
        "source": source,
        "firstTimestamp": seconds(told.first),
        "lastTimestamp": seconds(told.last),
        "count": told.count,
        "type": occurrence.kind.as_str(),
        "reportingComponent": origin.component,
        "reportingInstance": origin.host.as_deref().unwrap_or_default(),
    });
    write(Verb::Create, occurrence, told, &body)
}

fn repeat(occurrence: &Occurrence, told: &Told) -> Write {
    let body = json!({"count": told.count, "lastTimestamp": seconds(told.last)});
    write(Verb::Patch(PatchType::Merge), occurrence, told, &body)
}

fn write(verb: Verb, occurrence: &Occurrence, told: &Told, body: &Value) -> Write {
    let key = Key::new(namespace(occurrence), &told.name);
    let target = Target { resource: GroupResource::new("", "events"), version: None, key, subresource: None };
    Write { verb, target, body: serde_json::to_vec(body).expect("a Value is JSON").into(), options: Options::default() }
}

fn involved(occurrence: &Occurrence) -> Value {
    let about = &occurrence.about;
    let fields = [
        ("apiVersion", &about.api_version),
        ("kind", &about.kind),
        ("namespace", &about.namespace),
        ("name", &about.name),
        ("uid", &about.uid),
        ("fieldPath", &about.field_path),
    ];
    fields.into_iter().filter(|(_, value)| !value.is_empty()).map(|(field, value)| (field.to_owned(), json!(value))).collect()
}

fn namespace(occurrence: &Occurrence) -> &str {
    if occurrence.about.namespace.is_empty() { DEFAULT_NAMESPACE } else { &occurrence.about.namespace }
}

/// Whole seconds: events carry no finer times.
fn seconds(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{ObjectRef, Type};

    fn occurrence(name: &str, namespace: &str) -> Occurrence {
        let about = ObjectRef {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: namespace.into(),
            name: name.into(),
            uid: "u".into(),
            field_path: "spec.containers{web}".into(),
        };
        Occurrence { about, kind: Type::Warning, reason: "BackOff".into(), message: "m".into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn tally() -> Tally {
        Tally::new(Origin { component: "kubelet".into(), host: Some("n".into()) })
    }

    #[test]
    fn writes_an_event_as_kubectl_reads_it() {
        let mut tally = tally();
        tally.count(occurrence("web-0", "shop"), at(1));
        let tell = tally.untold().remove(0);
        assert_eq!(tell.write.target.key, Key::new("shop", "web-0.3b9aca00"));
        assert_eq!(
            serde_json::from_slice::<Value>(&tell.write.body).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web-0.3b9aca00", "namespace": "shop"},
                "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web-0", "uid": "u", "fieldPath": "spec.containers{web}"},
                "reason": "BackOff", "message": "m", "source": {"component": "kubelet", "host": "n"}, "type": "Warning", "count": 1,
                "firstTimestamp": "1970-01-01T00:00:01Z", "lastTimestamp": "1970-01-01T00:00:01Z",
                "reportingComponent": "kubelet", "reportingInstance": "n",
            })
        );
    }

    #[test]
    fn a_burst_of_one_thing_is_one_write() {
        let mut tally = tally();
        for second in 1..=3 {
            tally.count(occurrence("a", ""), at(second));
        }
        let tells = tally.untold();
        let body: Value = serde_json::from_slice(&tells[0].write.body).unwrap();
        assert_eq!((tells.len(), &body["count"], &body["lastTimestamp"]), (1, &json!(3), &json!("1970-01-01T00:00:03Z")));
        assert_eq!(&*tells[0].write.target.key.namespace, "default");
    }

    #[test]
    fn events_of_one_moment_have_two_names() {
        let mut tally = tally();
        for reason in ["A", "B"] {
            tally.count(Occurrence { reason: reason.into(), ..occurrence("a", "") }, at(1));
        }
        let tells = tally.untold();
        assert_ne!(tells[0].write.target.key, tells[1].write.target.key);
    }

    #[test]
    fn forgets_what_was_said_longest_ago() {
        let mut tally = tally();
        for number in 0..=REMEMBERED {
            tally.count(occurrence("first", ""), at(1));
            tally.count(occurrence(&number.to_string(), ""), at(1));
        }
        assert_eq!((tally.told.len(), tally.used.len()), (REMEMBERED, REMEMBERED));
        assert!(tally.told.contains_key(&occurrence("first", "")) && !tally.told.contains_key(&occurrence("0", "")));
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let check = |message: &str, bytes: usize| assert_eq!(shorten(message).len(), bytes);
        check("short", 5);
        check(&"x".repeat(2000), 1024);
        check(&"ü€".repeat(1000), 204 * 5 + 2);
        check(&format!("x{}", "€".repeat(1000)), 1 + 341 * 3);
    }
}
