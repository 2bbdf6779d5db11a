use super::*;
use crate::said::said;
use knarr_cluster::Step;
use knarr_kinds::Kind;
use knarr_machinery::Revision;
use serde_json::{Value, json};

fn kinds() -> Table {
    Table::new(vec![Kind::of::<k8s_openapi::api::core::v1::ConfigMap>()])
}

/// A cluster of ConfigMaps, one word each: `name<owner,owner`, an owner with `+` is blocked by it; then `!finalizer` for one that is leaving.
fn shelf(objects: &[&str]) -> Arc<Shelf> {
    let shelf = Shelf::new();
    let steps = objects.iter().zip(1..).map(|(words, revision)| {
        let (words, leaving) = words.split_once('!').map_or((*words, None), |(words, finalizer)| (words, Some(finalizer)));
        let (name, owners) = words.split_once('<').unwrap_or((words, ""));
        let owner = |owner: &str| {
            let (owner, blocks) = owner.strip_suffix('+').map_or((owner, false), |owner| (owner, true));
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": format!("{owner}-uid"), "blockOwnerDeletion": blocks})
        };
        let owners: Vec<_> = owners.split(',').filter(|owner| !owner.is_empty()).map(owner).collect();
        let mut object = json!({"metadata": {"name": name, "namespace": "one", "uid": format!("{name}-uid"), "ownerReferences": owners}});
        if let Some(finalizer) = leaving {
            object["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
            object["metadata"]["finalizers"] = json!([finalizer]);
        }
        let bytes = serde_json::to_vec(&object).unwrap().into();
        Step { resource: GroupResource::new("", "configmaps"), revision: Revision(revision), change: knarr_cluster::Change::Put(bytes) }
    });
    shelf.apply(steps.collect());
    shelf
}

/// What is done about one of them.
fn plan(objects: &[&str], name: &str) -> Plan {
    let collector = GarbageCollector { kinds: kinds() };
    let item = Item { resource: GroupResource::new("", "configmaps"), key: Key::new("one", name) };
    let look = collector.look(&shelf(objects), &item).expect("it is there");
    collector.reconcile(&look, Timestamp::UNIX_EPOCH)
}

/// The same in words, with how it is deleted and what a patch leaves.
fn words(objects: &[&str], name: &str) -> String {
    let plan = plan(objects, name);
    let one = |action: &Action| match action {
        Action::Delete { how, .. } => format!("{:?}", how.propagation.expect("always said")),
        Action::Patch { patch, .. } => {
            let meta = &patch["metadata"];
            let names: Vec<_> =
                meta["ownerReferences"].as_array().into_iter().flatten().map(|owner| owner["name"].as_str().unwrap().to_owned()).collect();
            if meta["finalizers"].is_null() {
                format!("owners [{}]", names.join(","))
            } else {
                format!("finalizers {}", meta["finalizers"])
            }
        }
        _ => String::new(),
    };
    let said = said(&plan);
    said.split(", ").zip(&plan.actions).map(|(said, action)| format!("{said} {}", one(action))).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_dependent_lives_as_long_as_one_owner_does() {
    for (objects, name, expected) in [
        (&["a", "x<a"][..], "x", ""),
        (&["x<a"][..], "x", "delete configmaps x Background"),
        (&["b", "x<a,b"][..], "x", "patch configmaps x owners [b]"),
        (&["x<a,b"][..], "x", "delete configmaps x Background"),
        (&["a", "y"][..], "y", ""),
        (&["a!keep", "x<a"][..], "x", ""),
    ] {
        assert_eq!(words(objects, name), expected, "{objects:?}");
    }
}

#[test]
fn in_the_foreground_the_owner_waits_for_those_that_block() {
    let cluster = &["a!foregroundDeletion", "b<a+", "c<a", "d<b"];
    assert_eq!(words(cluster, "a"), "");
    assert_eq!(words(cluster, "b"), "delete configmaps b Foreground", "it has dependents of its own");
    assert_eq!(words(cluster, "c"), "delete configmaps c Background");
    assert_eq!(words(&["a!foregroundDeletion", "c<a"], "a"), "patch configmaps a finalizers []", "none that blocks is left");
}

#[test]
fn orphans_are_let_go_before_the_owner_goes() {
    assert_eq!(
        words(&["a!orphan", "b<a", "c<a,d"], "a"),
        "patch configmaps b owners [], patch configmaps c owners [d], patch configmaps a finalizers []"
    );
}

#[test]
fn a_circle_is_broken() {
    assert_eq!(words(&["a<b+!foregroundDeletion", "b<a+"], "b"), "patch configmaps b owners [a], delete configmaps b Foreground");
}

#[test]
fn an_unknown_kind_proves_nothing() {
    let shelf = Shelf::new();
    let owners = json!([{"apiVersion": "example.com/v1", "kind": "Thing", "name": "t", "uid": "u"}]);
    let object: Value = json!({"metadata": {"name": "x", "namespace": "one", "uid": "x", "ownerReferences": owners}});
    let configmaps = GroupResource::new("", "configmaps");
    shelf.put(&configmaps, Revision(1), serde_json::to_vec(&object).unwrap().into());
    let collector = GarbageCollector { kinds: kinds() };
    let look = collector.look(&shelf, &Item { resource: configmaps, key: Key::new("one", "x") }).unwrap();
    assert_eq!(collector.reconcile(&look, Timestamp::UNIX_EPOCH), Plan::nothing());
}
