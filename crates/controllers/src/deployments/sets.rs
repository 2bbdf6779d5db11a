//! A Deployment's ReplicaSets: which one is of today's template, which are older, and what a new one is like.
use super::{KIND, history};
use knarr_cluster::{
    View,
    views::{Deployment, IntOrString, ReplicaSet},
};
use knarr_reconcile::Action;
use serde_json::{Value, json, value::RawValue};
use std::sync::Arc;

pub(super) const HASH_LABEL: &str = "pod-template-hash";
/// Letters and digits that form no words, as in names that Kubernetes generates.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A Deployment and its sets, with the numbers that a rollout keeps to.
pub(super) struct Rollout<'a> {
    pub(super) deployment: &'a Deployment,
    /// Of today's template; the oldest, should there be two.
    pub(super) new: Option<&'a ReplicaSet>,
    /// All others, oldest first.
    pub(super) old: Vec<&'a ReplicaSet>,
    pub(super) template: Value,
    pub(super) replicas: i32,
    /// Pods that may be there beside `replicas`.
    pub(super) surge: i32,
    /// Pods of `replicas` that need not be available.
    pub(super) unavailable: i32,
}

impl<'a> Rollout<'a> {
    pub(super) fn of(deployment: &'a Deployment, sets: &'a [Arc<ReplicaSet>]) -> Self {
        let template = parse(deployment.spec.template.as_deref());
        let mut old: Vec<&ReplicaSet> = sets.iter().map(|set| &**set).collect();
        old.sort_by(|a, b| (a.metadata.creation_timestamp, &a.metadata.name).cmp(&(b.metadata.creation_timestamp, &b.metadata.name)));
        let wanted = without_hash(template.clone());
        let new = old.iter().position(|set| without_hash(parse(set.spec.template.as_deref())) == wanted).map(|index| old.remove(index));
        let replicas = deployment.spec.replicas.unwrap_or(1).max(0);
        let (surge, unavailable) = bounds(deployment, replicas);
        Self { deployment, new, old, template, replicas, surge, unavailable }
    }

    pub(super) fn is_recreate(&self) -> bool {
        &*self.deployment.spec.strategy.kind == "Recreate"
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &'a ReplicaSet> {
        self.new.into_iter().chain(self.old.iter().copied())
    }

    /// Pods that all sets together are asked for.
    pub(super) fn asked_for(&self) -> i32 {
        self.all().map(size).sum()
    }

    /// The most pods that may be there: none for a Deployment that wants none.
    pub(super) fn most(&self) -> i32 {
        if self.replicas == 0 { 0 } else { self.replicas + self.surge }
    }

    /// The annotations by which a set remembers what its Deployment wanted.
    pub(super) fn size_annotations(&self) -> [(&'static str, String); 2] {
        [(history::DESIRED, self.replicas.to_string()), (history::MOST, self.most().to_string())]
    }

    /// Makes the set of today's template.
    pub(super) fn create(&self, replicas: i32) -> Action {
        let meta = &self.deployment.metadata;
        let hash = hash(&self.template, self.deployment.status.collision_count.unwrap_or(0));
        let mut template = self.template.clone();
        template["metadata"]["labels"][HASH_LABEL] = json!(hash);
        let mut selector = parse(self.deployment.spec.selector.as_deref());
        selector["matchLabels"][HASH_LABEL] = json!(hash);
        let mut spec = json!({"replicas": replicas, "selector": selector, "template": template});
        if self.deployment.spec.min_ready_seconds != 0 {
            spec["minReadySeconds"] = json!(self.deployment.spec.min_ready_seconds);
        }
        let mut annotations = history::inherited(self.deployment);
        annotations.insert(history::REVISION.into(), json!(self.next_revision().to_string()));
        annotations.extend(self.size_annotations().map(|(key, value)| (key.into(), json!(value))));
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "namespace": meta.namespace,
                "name": format!("{}-{hash}", meta.name),
                "labels": template["metadata"]["labels"],
                "annotations": annotations,
                "ownerReferences": [KIND.reference(meta)],
            },
            "spec": spec,
        });
        Action::Create { resource: ReplicaSet::resource(), object, say: None }
    }

    /// One more than the newest of the older sets.
    pub(super) fn next_revision(&self) -> i64 {
        self.old.iter().map(|set| history::revision(&set.metadata)).max().unwrap_or(0) + 1
    }
}

/// How many pods a set is asked for.
pub(super) fn size(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// Surge rounds up and unavailability down; both zero would stand still, so then one pod may be missing.
fn bounds(deployment: &Deployment, replicas: i32) -> (i32, i32) {
    if &*deployment.spec.strategy.kind == "Recreate" || replicas == 0 {
        return (0, 0);
    }
    let rolling = deployment.spec.strategy.rolling_update.clone().unwrap_or_default();
    let surge = share(rolling.max_surge.as_ref(), replicas, 99);
    let unavailable = share(rolling.max_unavailable.as_ref(), replicas, 0);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(replicas)) }
}

/// A number, or per cent of `replicas`; a quarter where nothing is said. `hundredths` are added before the division rounds down.
fn share(value: Option<&IntOrString>, replicas: i32, hundredths: i64) -> i32 {
    let per_cent = |per_cent: i64| (i64::from(replicas) * per_cent + hundredths) / 100;
    let number = match value {
        None => per_cent(25),
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => text.strip_suffix('%').and_then(|number| number.parse().ok()).map_or(0, per_cent),
    };
    i32::try_from(number).unwrap_or(i32::MAX / 4)
}

fn parse(json: Option<&RawValue>) -> Value {
    json.and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
}

/// A template as two of them are compared: the hash aside, and what is null is not there.
fn without_hash(mut template: Value) -> Value {
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH_LABEL);
    }
    without_nulls(template)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// Ten letters for a template (FNV-1a over its canonical JSON). Two templates of one hash are told apart by the Deployment's collision count.
fn hash(template: &Value, collisions: i32) -> String {
    let text = without_hash(template.clone()).to_string();
    let salt = if collisions == 0 { String::new() } else { collisions.to_string() };
    let mut sum = text
        .bytes()
        .chain(salt.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let base = ALPHABET.len() as u64;
    let letter = |_| {
        let at = usize::try_from(sum % base).expect("less than the alphabet's length");
        sum /= base;
        char::from(ALPHABET[at])
    };
    (0..10).map(letter).collect()
}
